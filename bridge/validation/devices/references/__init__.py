"""What devices are compared with: their equations by hand and their parameters, written a second time.

Nothing here comes from the declarations in `circuits.devices`, and nothing there uses it. A sign, a factor or
a parameter that is wrong in a declaration therefore makes the device's report fail.
"""
