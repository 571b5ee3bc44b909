"""How fast the harness and its methods are: asv benchmarks (bench_*.py) and scripts that print paired ratios."""
