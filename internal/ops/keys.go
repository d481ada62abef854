package ops

import "fmt"

// CheckKeys checks what the live parts of cu_seqlens and range_offsets, and key_ranges, say: nothing may lead outside of
// the tokens or the rows of the cache.
func CheckKeys(cuSeqlens, rangeOffsets, keyRanges []int32, tokens, cache int) error {
	count := len(cuSeqlens) - 1
	if cuSeqlens[0] != 0 || int(cuSeqlens[count]) != tokens {
		return fmt.Errorf("cu_seqlens runs from %d to %d over %d tokens", cuSeqlens[0], cuSeqlens[count], tokens)
	}
	if rangeOffsets[0] < 0 || int(rangeOffsets[count]) > len(keyRanges)/RangeLen {
		return fmt.Errorf("range_offsets runs from %d to %d over %d key ranges", rangeOffsets[0], rangeOffsets[count], len(keyRanges)/RangeLen)
	}
	rows := [2]int32{BufferBatch: int32(tokens), BufferCache: int32(cache)}
	for i := range count {
		if cuSeqlens[i] > cuSeqlens[i+1] || rangeOffsets[i] > rangeOffsets[i+1] || int(rangeOffsets[i+1]) > len(keyRanges)/RangeLen {
			return fmt.Errorf("segment %d: tokens %d to %d, key ranges %d to %d", i, cuSeqlens[i], cuSeqlens[i+1], rangeOffsets[i],
				rangeOffsets[i+1])
		}
		for j := rangeOffsets[i]; j < rangeOffsets[i+1]; j++ {
			r := keyRanges[int(j)*RangeLen:][:RangeLen]
			buffer, start, end, mask, window := r[0], r[1], r[2], r[3], r[4]
			if buffer < 0 || buffer > 1 || start < 0 || start > end || end > rows[buffer] || mask < MaskFull || mask > MaskWindow ||
				mask == MaskWindow && window < 1 {
				return fmt.Errorf("segment %d: key range %d is {buffer %d, start %d, end %d, mask %d, window %d}; "+
					"the batch has %d tokens, the cache %d rows", i, j, buffer, start, end, mask, window, tokens, cache)
			}
		}
	}
	return nil
}

// CheckKept finds a pair of a token and a row of the cache of which one is not there; a token of −1 is none.
func CheckKept(kept []int32, tokens, rows int) error {
	for i := 0; i < len(kept); i += 2 {
		if token, row := kept[i], kept[i+1]; token != -1 && (token < 0 || int(token) >= tokens || row < 0 || int(row) >= rows) {
			return fmt.Errorf("row %d: token %d of %d for row %d of a cache of %d", i/2, token, tokens, row, rows)
		}
	}
	return nil
}

// CheckSegments checks that the live part of cu_seqlens leads nowhere outside of the tokens.
func CheckSegments(cuSeqlens []int32, tokens int) error {
	for i, from := range cuSeqlens[:len(cuSeqlens)-1] {
		if end := cuSeqlens[i+1]; from < 0 || from > end || int(end) > tokens {
			return fmt.Errorf("segment %d: tokens %d to %d of %d", i, from, end, tokens)
		}
	}
	return nil
}

// CheckIDs finds an id outside of [0, n), which would be memory of something else.
func CheckIDs(what string, ids []int32, n int) error {
	for t, id := range ids {
		if id < 0 || int(id) >= n {
			return fmt.Errorf("row %d: %s %d is not in [0, %d)", t, what, id, n)
		}
	}
	return nil
}
