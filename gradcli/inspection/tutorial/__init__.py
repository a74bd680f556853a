"""PyTorch's "A gentle introduction to torch.autograd", run on gradcli: each derivative beside its formula."""
