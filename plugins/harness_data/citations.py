"""Where data sets were published, as BibTeX. Plain Python: it is imported to list them."""

ALPAYDIN = """
@misc{alpaydin1998digits,
  author = {Alpaydin, Ethem and Kaynak, Cenk},
  title = {Optical Recognition of Handwritten Digits},
  howpublished = {UCI Machine Learning Repository},
  year = {1998},
}
"""
LECUN = """
@article{lecun1998gradient,
  author = {LeCun, Yann and Bottou, Léon and Bengio, Yoshua and Haffner, Patrick},
  title = {Gradient-Based Learning Applied to Document Recognition},
  journal = {Proceedings of the IEEE},
  volume = {86},
  number = {11},
  year = {1998},
}
"""
XIAO = """
@misc{xiao2017fashion,
  author = {Xiao, Han and Rasul, Kashif and Vollgraf, Roland},
  title = {{Fashion-MNIST}: a Novel Image Dataset for Benchmarking Machine Learning Algorithms},
  year = {2017},
  eprint = {1708.07747},
  archiveprefix = {arXiv},
}
"""
KRIZHEVSKY = """
@techreport{krizhevsky2009learning,
  author = {Krizhevsky, Alex},
  title = {Learning Multiple Layers of Features from Tiny Images},
  institution = {University of Toronto},
  year = {2009},
}
"""
ORCHARD = """
@article{orchard2015converting,
  author = {Orchard, Garrick and Jayawant, Ajinkya and Cohen, Gregory K. and Thakor, Nitish},
  title = {Converting Static Image Datasets to Spiking Neuromorphic Datasets Using Saccades},
  journal = {Frontiers in Neuroscience},
  volume = {9},
  pages = {437},
  year = {2015},
}
"""
LI = """
@article{li2017cifar10dvs,
  author = {Li, Hongmin and Liu, Hanchao and Ji, Xiangyang and Li, Guoqi and Shi, Luping},
  title = {{CIFAR10-DVS}: An Event-Stream Dataset for Object Classification},
  journal = {Frontiers in Neuroscience},
  volume = {11},
  pages = {309},
  year = {2017},
}
"""
AMIR = """
@inproceedings{amir2017gesture,
  author = {Amir, Arnon and others},
  title = {A Low Power, Fully Event-Based Gesture Recognition System},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2017},
}
"""
EFRON = """
@article{efron2004least,
  author = {Efron, Bradley and Hastie, Trevor and Johnstone, Iain and Tibshirani, Robert},
  title = {Least Angle Regression},
  journal = {The Annals of Statistics},
  volume = {32},
  number = {2},
  year = {2004},
}
"""
WOLBERG = """
@misc{wolberg1993breast,
  author = {Wolberg, William and Mangasarian, Olvi and Street, Nick and Street, W.},
  title = {Breast Cancer Wisconsin (Diagnostic)},
  howpublished = {UCI Machine Learning Repository},
  year = {1993},
}
"""
AEBERHARD = """
@misc{aeberhard1992wine,
  author = {Aeberhard, Stefan and Forina, M.},
  title = {Wine},
  howpublished = {UCI Machine Learning Repository},
  year = {1992},
}
"""
UCI = """
@inproceedings{gal2016dropout,
  author = {Gal, Yarin and Ghahramani, Zoubin},
  title = {Dropout as a {Bayesian} Approximation: Representing Model Uncertainty in Deep Learning},
  booktitle = {International Conference on Machine Learning},
  year = {2016},
  eprint = {1506.02142},
  archiveprefix = {arXiv},
}
@inproceedings{hernandez2015probabilistic,
  author = {Hernández-Lobato, José Miguel and Adams, Ryan P.},
  title = {Probabilistic Backpropagation for Scalable Learning of {Bayesian} Neural Networks},
  booktitle = {International Conference on Machine Learning},
  year = {2015},
  eprint = {1502.05336},
  archiveprefix = {arXiv},
}
@misc{dua2017uci,
  author = {Dua, Dheeru and Graff, Casey},
  title = {{UCI} Machine Learning Repository},
  year = {2017},
}
"""
MARCUS = """
@article{marcus1993treebank,
  author = {Marcus, Mitchell P. and Santorini, Beatrice and Marcinkiewicz, Mary Ann},
  title = {Building a Large Annotated Corpus of {English}: The {Penn} {Treebank}},
  journal = {Computational Linguistics},
  volume = {19},
  number = {2},
  year = {1993},
}
@inproceedings{mikolov2010recurrent,
  author = {Mikolov, Tomáš and Karafiát, Martin and Burget, Lukáš and Černocký, Jan and Khudanpur, Sanjeev},
  title = {Recurrent Neural Network Based Language Model},
  booktitle = {Interspeech},
  year = {2010},
}
"""
KARPATHY = """
@misc{karpathy2015unreasonable,
  author = {Karpathy, Andrej},
  title = {The Unreasonable Effectiveness of Recurrent Neural Networks},
  note = {the choice of text},
  year = {2015},
}
"""
