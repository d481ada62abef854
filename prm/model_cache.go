package prm

import (
	"fmt"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/prefix"
)

const defaultCacheTokens = 16384

// CacheInfo says what a model keeps of the texts that it read: what a new text has in common with one of them is not computed again.
type CacheInfo struct {
	Tokens int    // at most
	Bytes  int64  // that so many tokens take
	Off    string // why there is none
}

// Cache says what the model keeps of the texts that it read.
func (m *Model) Cache() CacheInfo {
	m.cache.Lock()
	defer m.cache.Unlock()
	if m.cache.info == nil {
		return CacheInfo{Off: "there was no Session yet, and OpenOptions.CacheTokens is not set"}
	}
	return *m.cache.info
}

// planCache decides about the cache at the first session, if nobody has; it has memory from the session's first text on.
func (m *Model) planCache() error {
	if m.cachePlanned() {
		return nil
	}
	return m.queue.exclusive(func() error {
		if m.cachePlanned() {
			return nil
		}
		info, err := m.sizeCache(m.cache.want)
		if err != nil {
			return err
		}
		m.cache.Lock()
		defer m.cache.Unlock()
		m.cache.info = &info
		return nil
	})
}

func (m *Model) cachePlanned() bool {
	m.cache.Lock()
	defer m.cache.Unlock()
	return m.cache.info != nil
}

// startCache brings the cache that a session was promised. The caller has the queue's turn.
func (m *Model) startCache() error {
	if info := m.Cache(); m.prefixes == nil && info.Tokens > 0 {
		return m.setCache(info)
	}
	return nil
}

// keepPrefixes gives the model a cache of so many tokens instead of what it has; nil: a default. The caller has the queue's turn.
func (m *Model) keepPrefixes(want *int) (CacheInfo, error) {
	info, err := m.sizeCache(want)
	if err != nil {
		return CacheInfo{}, err
	}
	m.cache.Lock()
	m.cache.info = &info
	m.cache.Unlock()
	return info, m.setCache(info)
}

// setCache gives the network the memory for a cache, an empty one.
func (m *Model) setCache(info CacheInfo) error {
	if m.prefixes = nil; m.network.Spec().Cache == 0 && info.Tokens == 0 {
		return nil
	}
	if err := m.network.SetCache(info.Tokens); err != nil {
		return err
	}
	if info.Tokens > 0 {
		m.prefixes = prefix.New(info.Tokens, m.network.Spec().Head.Final == "own")
	}
	return nil
}

// sizeCache is the cache that so many tokens come to; nil: a default, less where a quarter of the memory would not hold it. It asks the
// network and the device, so the caller has the queue's turn.
func (m *Model) sizeCache(want *int) (CacheInfo, error) {
	if off := m.noCache(want); off != "" {
		return CacheInfo{Off: off}, nil
	}
	tokens, each, available := defaultCacheTokens, int64(m.network.CacheBytes()), mmap.Available()
	if device, ok := m.backend.(engine.ReportsMemory); ok {
		var err error
		if available, err = device.FreeMemory(); err != nil {
			return CacheInfo{}, err
		}
	}
	if want != nil {
		tokens = *want
		if available > 0 && int64(tokens) > available/each {
			return CacheInfo{}, fmt.Errorf("cache_tokens: %d take %d bytes each, more than the %d MiB of memory that are left", tokens, each,
				available>>20)
		}
	} else if available > 0 {
		tokens = int(min(int64(tokens), available/4/each))
	}
	tokens = max(1, tokens/prefix.Block) * prefix.Block
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
