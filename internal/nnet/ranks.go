package nnet

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/tensor"
)

// ranks shares an optimizer step with the other processes of a group. Every parameter has one owner, which alone keeps its optimizer state
// and updates it (ZeRO stage 1): the gradients of all ranks are summed at the owner, and the updated parameters go from there to all.
type ranks struct {
	group *dist.Group
	stage int     // 2: the sum over micro-batches is kept by the owner alone too
	owner []int   // of each trained parameter
	owned [][]int // by rank: trained parameters, in the order in which their gradients are done
	piece int     // bytes for each rank in one call, at most

	order  []int   // of the gradients, as they are done
	all    []int   // likewise, or in the graph's order where that is not known
	sliced bool    // rounds give each rank a slice, whoever owns it, see round
	rounds []round // in which they are summed

	staging []byte // pieces of all ranks
	own     []byte // this rank's

	overlaps map[overlapKey]*overlapped
	peers    engine.Peers                        // nil: what is exchanged goes through the host's memory
	left     error                               // why these have been left: what is recorded would exchange nothing
	plain    map[*engine.Tensor]*engine.Sequence // rounds by the first gradient, where no backward pass has them
	early    int64                               // of the rounds of all steps, those that began before the backward pass was over
	reduced  int64                               // rounds of all steps
}

// stagingBytes is about what all ranks' pieces of one call take together.
const stagingBytes = 16 << 20

// minPiece is the least that is worth a message.
const minPiece = 4 << 10

// Join makes optimizer steps those of a group: every rank trains on micro-batches of its own, whose gradients are summed, and holds the
// optimizer state of its share of the parameters. To be called before the first step and before Restore; a nil group changes nothing.
func (n *Network) Join(group *dist.Group, stage int) error {
	if stage != 1 && stage != 2 {
		return fmt.Errorf("dist.zero: stage %d is neither 1 nor 2", stage)
	}
	if group != nil {
		n.optim.ranks = &ranks{group: group, stage: stage}
	}
	return nil
}

// prepare deals the parameters, once all are known.
func (r *ranks) prepare(o *optimizer) {
	if r.owner != nil {
		return
	}
	sizes := make([]int64, len(o.names))
	for i, name := range o.names {
		sizes[i] = int64(o.net.tensors[name].Size())
	}
	r.owner, r.owned = dist.Deal(sizes, r.group.World), make([][]int, r.group.World)
	for i, owner := range r.owner {
		r.owned[owner] = append(r.owned[owner], i)
	}
	r.sliced, r.piece = sharesOut(r.totals(o.parameters()))
	r.staging, r.own = make([]byte, r.piece*r.group.World), make([]byte, r.piece)
}

// sharesOut decides, from the bytes of each rank's parameters, whether gradients are summed by slices, as they are where one rank has much
// more than the others; and how many bytes of each rank an exchange takes: few enough for several to overlap with computing.
func sharesOut(totals []int) (sliced bool, piece int) {
	largest, sum := slices.Max(totals), 0
	for _, n := range totals {
		sum += n
	}
	if sliced = 4*largest*len(totals) > 5*sum; sliced {
		largest = sum / len(totals)
	}
	return sliced, max(minPiece, min(stagingBytes/len(totals), largest/16)&^(minPiece-1))
}

// totals are the bytes of each rank's tensors.
func (r *ranks) totals(tensors []*engine.Tensor) []int {
	totals := make([]int, r.group.World)
	for i, owner := range r.owner {
		totals[owner] += int(tensors[i].MemSize())
	}
	return totals
}

// owns reports whether this rank keeps the state of a parameter; one process alone keeps all.
func (o *optimizer) owns(i int) bool { return o.ranks == nil || o.ranks.owner[i] == o.ranks.group.Rank }

// eachPiece visits pieces of every rank's parameters together: counts are how many bytes of each rank's follow from at on.
func (r *ranks) eachPiece(tensors []*engine.Tensor, visit func(at int, counts []int) error) error {
	totals := r.totals(tensors)
	for at := 0; at < slices.Max(totals); at += r.piece {
		counts := make([]int, len(totals))
		for rank, total := range totals {
			counts[rank] = min(r.piece, max(0, total-at))
		}
		if err := visit(at, counts); err != nil {
			return err
		}
	}
	return nil
}

// span visits the parts of listed tensors, which count as laid end to end, that lie from at on in as many bytes as b has.
func span(tensors []*engine.Tensor, list []int, at int, b []byte, visit func(i int, b []byte, part *engine.Tensor) error) error {
	for _, i := range list {
		t := tensors[i]
		size := int(t.MemSize())
		if at >= size {
			at -= size
			continue
		}
		n := min(size-at, len(b))
		if n == 0 {
			return nil
		}
		width := int(t.Dtype().Size())
		part := engine.NewTensor(unsafe.Add(t.Ptr, at), t.Dtype(), tensor.Shape{n / width}, t)
		if err := visit(i, b[:n], part); err != nil {
			return err
		}
		at, b = 0, b[n:]
	}
	return nil
}

// reduce sums every rank's gradients in the owner's; those of other parameters are left as they are. A rank that has nothing to add adds
// zeros.
func (r *ranks) reduce(b engine.Backend, grads []*engine.Tensor, adds bool) error {
	if r.peers != nil {
		return r.reduceOnDevices(b, grads, adds)
	}
	if err := b.Sync(); err != nil {
		return err
	}
	for _, round := range r.rounds {
		if err := r.exchange(b, round, grads, adds); err != nil {
			return err
		}
	}
	return nil
}

// exchange is one round of reduce.
func (r *ranks) exchange(b engine.Backend, round round, grads []*engine.Tensor, adds bool) error {
	kind, end := dist.F32, 0
	if grads != nil && grads[0].Dtype() == engine.F64 {
		kind = dist.F64
	}
	for owner, n := range round.counts {
		to := r.staging[end : end+n]
		if end += n; !adds {
			clear(to)
			continue
		}
		if err := span(grads, r.summedBy(owner), round.from[owner], to, downloadTo(b)); err != nil {
			return err
		}
	}
	me := r.group.Rank
	sum := r.own[:round.counts[me]]
	if err := r.group.ReduceScatter(sum, r.staging[:end], round.counts, kind); err != nil {
		return err
	}
	if r.sliced {
		return r.deliver(b, round, grads, sum)
	}
	return span(grads, r.owned[me], round.from[me], sum, uploadFrom(b))
}

func downloadTo(b engine.Backend) func(int, []byte, *engine.Tensor) error {
	return func(_ int, to []byte, part *engine.Tensor) error { return b.Download(to, part) }
}

func uploadFrom(b engine.Backend) func(int, []byte, *engine.Tensor) error {
	return func(_ int, from []byte, part *engine.Tensor) error { return b.Upload(part, from) }
}

// spread copies every owner's parameters to all ranks.
func (r *ranks) spread(b engine.Backend, parameters []*engine.Tensor) error {
	if err := r.spreadPieces(b, parameters); err != nil {
		return err
	}
	return r.renewOthers(b, parameters)
}

// renewOthers brings the rounded copies of what has come from other ranks up to date.
func (r *ranks) renewOthers(b engine.Backend, parameters []*engine.Tensor) error {
	for i, p := range parameters {
		if r.owner[i] == r.group.Rank {
			continue
		}
		if err := renew(b, p); err != nil {
			return err
		}
	}
	return nil
}

// renew brings a backend's rounded copy of a weight up to date, which follows what is written to the weight's beginning, not pieces of it.
func renew(b engine.Backend, weight *engine.Tensor) error {
	if _, ok := b.(engine.RoundsWeights); !ok {
		return nil
	}
	return b.Upload(weight, nil)
}

func (r *ranks) spreadPieces(b engine.Backend, parameters []*engine.Tensor) error {
	return r.eachPiece(parameters, func(at int, counts []int) error {
		mine, end := r.own[:counts[r.group.Rank]], 0
		if err := span(parameters, r.owned[r.group.Rank], at, mine, downloadTo(b)); err != nil {
			return err
		}
		for _, n := range counts {
			end += n
		}
		if err := r.group.AllGather(mine, r.staging[:end], counts); err != nil {
			return err
		}
		end = 0
		for owner, n := range counts {
			from := r.staging[end : end+n]
			if end += n; owner == r.group.Rank {
				continue
			}
			if err := span(parameters, r.owned[owner], at, from, uploadFrom(b)); err != nil {
				return err
			}
		}
		return nil
	})
}

// shareSquares completes each rank's sums of squares by those of the other owners.
func (r *ranks) shareSquares(o *optimizer) error {
	if err := o.net.backend.Sync(); err != nil {
		return err
	}
	squares, err := download(o.net.backend, o.squares, o.squares.Size())
	if err != nil {
		return err
	}
	for i := range squares {
		if !o.owns(i) {
			squares[i] = 0
		}
	}
	if err := r.group.Sum(squares); err != nil {
		return err
	}
	return o.net.backend.Upload(o.squares, bytesOf(squares))
}

// share makes the loss that of all ranks.
func (r *ranks) share(s *StepResult) error {
	v := []float64{s.Loss, s.LossStep, s.LossFinal, float64(s.NumStep), float64(s.NumFinal)}
	if err := r.group.Sum(v); err != nil {
		return err
	}
	s.Loss, s.LossStep, s.LossFinal, s.NumStep, s.NumFinal = v[0], v[1], v[2], int(v[3]), int(v[4])
	return nil
}

// most is the largest number of any rank.
func (r *ranks) most(n int) (int, error) {
	all, err := r.group.Gather(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	for _, b := range all {
		n = max(n, int(binary.LittleEndian.Uint64(b)))
	}
	return n, err
}

// Broadcast makes the trained parameters of every rank those of rank 0, to the bit.
func (n *Network) Broadcast(group *dist.Group) error {
	buffer := make([]byte, 8*pieceNumbers)
	for _, name := range n.optim.names {
		t := n.tensors[name]
		width := int(t.Dtype().Size())
		for from := 0; from < t.Size() && group != nil; from += pieceNumbers {
			count := min(pieceNumbers, t.Size()-from)
			part := engine.NewTensor(unsafe.Add(t.Ptr, from*width), t.Dtype(), tensor.Shape{count}, t)
			b := buffer[:count*width]
			if err := n.backend.Download(b, part); err != nil {
				return err
			}
			if err := group.Broadcast(b, 0); err != nil {
				return err
			}
			if err := n.backend.Upload(part, b); err != nil {
				return err
			}
		}
		if err := renew(n.backend, t); err != nil {
			return err
		}
	}
	return nil
}
