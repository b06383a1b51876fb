"""A user's transistor in Verilog-A and its cards."""

MODULE = """`include "disciplines.vams"
// The interpolation of Enz, Krummenacher and Vittoz (1995), with a gate's charge that is a square.
module ekv(d, g, s, b);
inout d, g, s, b; electrical d, g, s, b;
parameter real sign = 1.0;
parameter real vto = 0.4;
parameter real is = 2e-6;
parameter real q0 = 3e-15;
(* type="instance" *) parameter real width = 1e-6;
(* type="instance" *) parameter real span = 1e-6;
real vp, f, r, vg;
analog begin
  vg = sign*V(g, b);
  vp = (vg - vto)/1.3;
  f = ln(1 + exp((vp - sign*V(s, b))/0.0516));
  r = ln(1 + exp((vp - sign*V(d, b))/0.0516));
  I(d, s) <+ sign*is*width/span*(f*f - r*r);
  I(g, b) <+ ddt(sign*q0*(vg + 0.5*vg*vg));
  I(g, d) <+ ddt(0.3*q0*V(g, d));
end
endmodule
"""
CARDS = """* two transistors of one module
.param shift=0.05
.model nekv ekv sign=1 vto={0.35+shift} is=2e-6 q0=3e-15
.model pekv ekv sign=-1 vto=0.4 is=1e-6 q0=3e-15
"""
