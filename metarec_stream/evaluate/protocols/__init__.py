"""The public protocols that models are compared under, each as its source states it."""
