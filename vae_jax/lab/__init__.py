"""What the experiments on gradient estimators compute, print and draw."""
