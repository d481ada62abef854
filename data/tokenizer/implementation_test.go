//go:build !hf_tokenizers

package tokenizer

// inGo is the Go implementation of what Open returned.
func inGo(tok Tokenizer) *bpe { return tok.(*bpe) }
