package prm

import (
	"fmt"

	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/prefix"
)

const defaultCacheTokens = 16384

// keepPrefixes gives the model a cache of so many tokens; nil: a default, less where a quarter of the memory would not hold it.
func (m *Model) keepPrefixes(want *int) (CacheInfo, error) {
	m.prefixes = nil
	if off := m.noCache(want); off != "" {
		return CacheInfo{Off: off}, m.network.SetCache(0)
	}
	tokens, each, available := defaultCacheTokens, int64(m.network.CacheBytes()), mmap.Available()
	if want != nil {
		tokens = *want
		if available > 0 && int64(tokens) > available/each {
			return CacheInfo{}, fmt.Errorf("cache_tokens: %d take %d bytes each, more than the %d MiB of memory that are left", tokens, each, available>>20)
		}
	} else if available > 0 {
		tokens = int(min(int64(tokens), available/4/each))
	}
	tokens = max(1, tokens/prefix.Block) * prefix.Block
	if err := m.network.SetCache(tokens); err != nil {
		return CacheInfo{}, err
	}
	m.prefixes = prefix.New(tokens, m.network.Spec().Head.Final == "own")
	return CacheInfo{Tokens: tokens, Bytes: int64(tokens) * each}, nil
}

// noCache tells why the model can have no cache, "" if it can.
func (m *Model) noCache(want *int) string {
	_, low := m.backend.(*releasing)
	switch {
	case want != nil && *want == 0:
		return "switched off"
	case m.reference != nil:
		return "implicit rewards are of two models"
	case low:
		return "the model is read with little memory"
	}
	if err := m.network.CanCache(); err != nil {
		return err.Error()
	}
	return ""
}
