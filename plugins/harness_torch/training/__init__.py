"""The training kit of families that train by gradients: options and optimiser, one update, CUDA graphs, types and
layouts, convolutions, predictions, facts, and one notation of networks.

A family imports the modules that it needs and holds what is its own: losses, weights, layers, kernels. Importing this
package, `options` and `architectures` imports no torch.
"""
