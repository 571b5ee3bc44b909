"""Words that all formats share: numbers, differences, published values, captions; texts made fit to be shown."""
