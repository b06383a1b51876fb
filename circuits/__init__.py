"""Networks of devices, as immutable descriptions, and the netlists made from them."""
