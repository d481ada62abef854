// Package rng is counter-based randomness: a value is a function of (seed, stream, counter), so nothing needs to be
// saved and the order of use does not matter.
package rng

import "hash/fnv"

// Stream is one named sequence of a seed.
type Stream struct{ key uint64 }

// New returns the stream of the seed with that name.
func New(seed uint64, name string) Stream { return Stream{key: Mix(seed ^ Mix(Hash(name)))} }

// Hash is the FNV-1a hash of a name.
func Hash(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash's Write never fails
	return h.Sum64()
}

// Uint64 is the i-th value.
func (s Stream) Uint64(i uint64) uint64 { return Mix(s.key + i*0x9e3779b97f4a7c15) }

// Float64 is the i-th value in [0, 1), a multiple of 2⁻⁵³.
func (s Stream) Float64(i uint64) float64 { return float64(s.Uint64(i)>>11) / (1 << 53) }

// Mix is the finaliser of splitmix64 (Steele, Lea, Flood 2014), a bijection.
func Mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
