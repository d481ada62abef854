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
	if c.ModelType == "mistral" && f.given("layer_types") && !f.has("head_dim") {
		// transformers (AutoConfig) and vLLM read a mistral with layer_types layer by layer, as a ministral; its class computes no head_dim.
		f.fail("layer_types: a mistral that has it is read as a ministral, which needs head_dim too")
		return
	}
	window, qwen := 0, c.ModelType == "qwen2" || c.ModelType == "qwen3"
	if c.ModelType == "mistral" || qwen && f.flag("use_sliding_window") {
		window = c.windowWidth(f)
	}
	if f.err != nil {
		return
	}
	if window == 0 {
		if at := slices.Index(kinds, "sliding_attention"); at >= 0 {
			f.fail("layer_types: layer %d is \"sliding_attention\", but no sliding_window is in use", at)
		}
		return
	}
	if window >= c.MaxLength() {
		return
	}
	c.slides = make([]bool, c.NumHiddenLayers)
	first := 0 // of the sliding layers
	if qwen {
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

// windowWidth is the width that the configuration gives, 0 for null.
func (c *Config) windowWidth(f *fields) int {
	if f.isNull("sliding_window") {
		return 0
	}
	return f.count("sliding_window", classDefaults[c.ModelType].slidingWindow, maxPositions)
}
