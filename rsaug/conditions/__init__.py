"""Control maps: one module a control, and the stack that they fill."""
