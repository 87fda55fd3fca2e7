"""Many runs of one notebook or model that differ in what is swept: planned, launched on an engine, collected, told."""
