package dist

import (
	"bytes"
	"fmt"
)

// Exercise makes every collective in sizes from nothing to some megabytes, and compares what comes with what must. Every rank calls it.
func Exercise(g *Group) error {
	pattern := func(rank, n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(31*rank + i*i>>3 + i)
		}
		return b
	}
	for _, size := range []int{0, 1, 8, 1000, 1 << 16, 3<<20 + 5} {
		root := size % g.Size()
		b := pattern(g.Number(), size)
		if err := g.Broadcast(b, root); err != nil {
			return err
		}
		if !bytes.Equal(b, pattern(root, size)) {
			return fmt.Errorf("broadcast of %d bytes brought others", size)
		}
		all, err := g.Gather(pattern(g.Number(), size/(g.Number()+1)))
		if err != nil {
			return err
		}
		for r, part := range all {
			if !bytes.Equal(part, pattern(r, size/(r+1))) {
				return fmt.Errorf("all-gather of %d bytes brought others from rank %d", size, r)
			}
		}
		if err := g.exerciseSums(size / 8); err != nil {
			return err
		}
		if err := g.Barrier(); err != nil {
			return err
		}
	}
	return nil
}

// exerciseSums adds whole numbers, whose sums are exact in any order, into parts of different sizes.
func (g *Group) exerciseSums(n int) error {
	counts, from, sum := make([]int, g.Size()), 0, 0
	for r := range counts {
		counts[r] = 4 * (n / (r + 1))
		if r < g.Number() {
			from += counts[r] / 4
		}
		sum += counts[r]
	}
	parts, dst := make([]byte, sum), make([]byte, counts[g.Number()])
	for i := range numbers[float32](parts) {
		numbers[float32](parts)[i] = float32((g.Number() + 1) * (i % 1000))
	}
	if err := g.ReduceScatter(dst, parts, counts, F32); err != nil {
		return err
	}
	times := g.Size() * (g.Size() + 1) / 2
	for i, v := range numbers[float32](dst) {
		if want := float32(times * ((from + i) % 1000)); v != want {
			return fmt.Errorf("reduce-scatter: number %d is %v, not %v", i, v, want)
		}
	}
	if err := g.exerciseExchange(n); err != nil {
		return err
	}
	all := make([]float64, n)
	for i := range all {
		all[i] = float64(i * (g.Number() + 1))
	}
	if err := g.Sum(all); err != nil {
		return err
	}
	for i, v := range all {
		if want := float64(i * times); v != want {
			return fmt.Errorf("all-reduce: number %d is %v, not %v", i, v, want)
		}
	}
	return nil
}

// exerciseExchange gives each rank as many bytes as the numbers of both ranks say.
func (g *Group) exerciseExchange(n int) error {
	size := func(from, to int) int { return n * (from + 2*to) % 1000 }
	var send []byte
	sendCounts, recvCounts, total := make([]int, g.Size()), make([]int, g.Size()), 0
	for r := range sendCounts {
		sendCounts[r], recvCounts[r] = size(g.Number(), r), size(r, g.Number())
		send, total = append(send, bytes.Repeat([]byte{byte(16*g.Number() + r)}, sendCounts[r])...), total+recvCounts[r]
	}
	recv := make([]byte, total)
	if err := g.Exchange(send, sendCounts, recv, recvCounts); err != nil {
		return err
	}
	for r, count := range recvCounts {
		if !bytes.Equal(recv[:count], bytes.Repeat([]byte{byte(16*r + g.Number())}, count)) {
			return fmt.Errorf("exchange: others came from rank %d", r)
		}
		recv = recv[count:]
	}
	return nil
}
