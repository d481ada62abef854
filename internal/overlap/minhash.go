package overlap

import "github.com/goprm/goprm/internal/rng"

const (
	hashes       = 128
	bands        = 32 // of four hashes: two texts that share half of their runs meet in one with probability 0.87, from 0.7 on nearly always
	perBand      = hashes / bands
	shingleWords = 3
)

// Signature is a text's MinHash: the share of equal places of two estimates the share of runs of three words that the texts
// have in common (of all that either has), with a standard error of at most 0.045.
type Signature [hashes]uint64

var places = func() (list [hashes]rng.Stream) {
	for i := range list {
		list[i] = rng.New(uint64(i), "minhash")
	}
	return list
}()

// Sign makes the signature; a text of fewer than three words is one run.
func Sign(text string) Signature {
	words := Words(text)
	list := runs(words, min(shingleWords, max(1, len(words))))
	if len(list) == 0 {
		list = []string{Key(text)}
	}
	var s Signature
	for i := range s {
		s[i] = ^uint64(0)
	}
	for _, run := range list {
		h := hash(run)
		for i := range s {
			s[i] = min(s[i], places[i].Uint64(h))
		}
	}
	return s
}

// Similarity is the share of equal places.
func (s *Signature) Similarity(other *Signature) float64 {
	equal := 0
	for i := range s {
		if s[i] == other[i] {
			equal++
		}
	}
	return float64(equal) / hashes
}

// Index holds signatures by name, to find one that is near another.
type Index struct {
	entries []entry
	bands   map[band][]int
}

type entry struct {
	name      string
	signature Signature
}

type band struct {
	number int
	hashes [perBand]uint64
}

func bandOf(s *Signature, number int) band {
	return band{number, [perBand]uint64(s[number*perBand:])}
}

// Add takes up a signature.
func (x *Index) Add(name string, s Signature) {
	if x.bands == nil {
		x.bands = map[band][]int{}
	}
	for b := range bands {
		key := bandOf(&s, b)
		x.bands[key] = append(x.bands[key], len(x.entries))
	}
	x.entries = append(x.entries, entry{name, s})
}

// Near returns the first signature taken up that is at least so similar.
func (x *Index) Near(s *Signature, similarity float64) (name string, found bool) {
	best := len(x.entries)
	for b := range bands {
		for _, i := range x.bands[bandOf(s, b)] {
			if i >= best {
				break
			}
			if x.entries[i].signature.Similarity(s) >= similarity {
				best = i
				break
			}
		}
	}
	if best == len(x.entries) {
		return "", false
	}
	return x.entries[best].name, true
}
