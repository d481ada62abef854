package hfmodel

import "slices"

// Window is how many tokens a token of the layer attends to, itself included; 0: all before it.
func (c *Config) Window(layer int) int {
	if c.SlidingWindow == 0 || !c.slides[layer] {
		return 0
	}
	return c.SlidingWindow
}

// readWindow reads which layers attend to a sliding window. One that is as wide as the longest text is none.
func (c *Config) readWindow(f *fields) {
	kinds := read(f, "layer_types", "a list of names", []string(nil))
	for i, kind := range kinds {
		if kind != "full_attention" && kind != "sliding_attention" {
			f.fail("layer_types: layer %d is %q; full_attention and sliding_attention are supported", i, kind)
		}
	}
	if f.err != nil {
		return
	}
	if kinds != nil && len(kinds) != c.NumHiddenLayers {
		f.fail("layer_types has %d entries for %d layers", len(kinds), c.NumHiddenLayers)
		return
	}
	active := f.has("sliding_window") && (c.ModelType == "mistral" || c.ModelType == "qwen2" && f.flag("use_sliding_window"))
	if c.ModelType == "qwen2" && !f.has("sliding_window") && f.flag("use_sliding_window") {
		f.fail("use_sliding_window is true, but sliding_window is missing")
	}
	if !active {
		if at := slices.Index(kinds, "sliding_attention"); at >= 0 {
			f.fail("layer_types: layer %d is \"sliding_attention\", but no sliding_window is in use", at)
		}
		return
	}
	window := f.count("sliding_window", 0, maxPositions)
	if f.err != nil || window >= c.MaxPositionEmbeddings {
		return
	}
	c.slides = make([]bool, c.NumHiddenLayers)
	first := 0 // of the sliding layers
	if c.ModelType == "qwen2" {
		first = read(f, "max_window_layers", "a whole number", 28) // transformers' default
	}
	for i := range c.slides {
		c.slides[i] = i >= first
		if kinds != nil {
			c.slides[i] = kinds[i] == "sliding_attention"
		}
	}
	if slices.Contains(c.slides, true) {
		c.SlidingWindow = window
	}
}
