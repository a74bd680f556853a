"""The learning rate range test (Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3)."""
