from harness import Method, hookimpl


@hookimpl
def harness_methods():
    factory = "harness_centroid.learner:Centroid"
    yield Method("centroid", "nearest class centroid", factory, kinds=("classification",))
