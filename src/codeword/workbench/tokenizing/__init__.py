"""Items to tokens and back, one by one and in bulk; what token files hold."""
