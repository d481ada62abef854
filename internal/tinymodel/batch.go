package tinymodel

import "github.com/goprm/goprm/data"

// Batch is one text of so many tokens with a labelled read-out every sixteen.
func Batch(tokens int) *data.Batch {
	b := &data.Batch{CuSeqlens: []int32{0, int32(tokens)}, Parents: []int32{-1}}
	for i := range tokens {
		b.Tokens, b.Positions = append(b.Tokens, int32(i%200)), append(b.Positions, int32(i))
		if i%16 == 15 {
			b.Reads, b.Target, b.Weight = append(b.Reads, int32(i)), append(b.Target, 0.5), append(b.Weight, 0.1)
			b.Kind, b.Trajectory, b.Read = append(b.Kind, data.KindStep), append(b.Trajectory, 0), append(b.Read, int32(i/16))
		}
	}
	return b
}
