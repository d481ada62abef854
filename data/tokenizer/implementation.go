//go:build !hf_tokenizers

package tokenizer

// Implementation names what encodes and decodes for Open's tokenizers: this package, or the module that the build tag hf_tokenizers
// puts in its place.
const Implementation = "goprm"

func implement(f *file) (Tokenizer, error) { return newBPE(f), nil }
