"""What is no test."""

collect_ignore = ["programs"]  # scripts, which test_vector_quantize_pytorch_programs.py runs
