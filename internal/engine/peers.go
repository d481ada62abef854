package engine

import "time"

// ReachesPeers is a backend whose device exchanges tensors with those of other ranks by itself, not through the host's memory.
type ReachesPeers interface {
	// PeerID makes what the ranks meet by; the first of them calls it and tells the others. Every rank calls it first to find out whether it
	// can: an error says why not.
	PeerID() ([]byte, error)
	// JoinPeers waits for all ranks. No exchange takes longer than the limit; lost, if there is one, says whether a rank is known to have
	// ended. Closing the backend leaves in good order.
	JoinPeers(id []byte, rank, world int, limit time.Duration, lost func() error) (Peers, error)
}

// Peers makes launches that every rank makes in the same order. They do not wait, and take part in a recording. They run beside the
// launches that follow them, until one of Wait.
type Peers interface {
	// Name is what runs underneath, such as "NCCL 2.27.3".
	Name() string
	// Reserve makes room for reductions in which no rank sums more than so many bytes.
	Reserve(bytes int) error
	// Reduce sums each part over the ranks at its owner, in the order of ranks and in f64, rounded once; it is due when what was launched
	// before is done. Other ranks' parts stay as they are.
	Reduce(what string, parts []Part) (Launch, error)
	// Move copies each part from one rank to another.
	Move(what string, moves []Move) (Launch, error)
	// Spread copies each part from its owner to all.
	Spread(what string, parts []Part) (Launch, error)
	// Wait makes what follows wait for all exchanges so far.
	Wait() error
	// Zero fills a tensor with zeros, behind the launches so far.
	Zero(t *Tensor) error
	// Leave ends it; with a reason, without the others.
	Leave(reason error) error
}

// Move is a part of a tensor that one rank gives another.
type Move struct {
	*Tensor
	From, To int
}

// Part is a part of a tensor of which one rank has charge.
type Part struct {
	*Tensor
	Owner int
}
