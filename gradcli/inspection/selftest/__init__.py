"""What must hold for every ResNet-18 on every machine, tried on this one and on weights at hand."""
