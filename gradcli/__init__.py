"""gradcli: a NumPy autograd engine and a ResNet-18, in Python and from the shell."""

__version__ = "0.1.0"
