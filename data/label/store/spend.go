package store

import (
	"encoding/json"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// ErrBudget refuses a call that could exceed the budget.
var ErrBudget = errors.New("the budget does not cover another call")

// Amount is a sum of tokens and of money, in 1e-9 of the currency: prices are per million tokens, and integers add up exactly.
type Amount struct {
	Tokens int64 `json:"tokens"`
	Nanos  int64 `json:"nanos"`
}

func (a Amount) add(b Amount) Amount { return Amount{a.Tokens + b.Tokens, a.Nanos + b.Nanos} }
func (a Amount) sub(b Amount) Amount { return Amount{a.Tokens - b.Tokens, a.Nanos - b.Nanos} }

func (a Amount) String() string {
	return fmt.Sprintf("%d tokens, %d.%09d money", a.Tokens, a.Nanos/1e9, a.Nanos%1e9)
}

// Spend is the state of the ledger. What may have been spent is Settled + Lost + Reserved, and never beyond the budget unless
// calls cost more than was reserved for them.
type Spend struct {
	Calls   int64  `json:"calls"`
	Settled Amount `json:"settled"`
	// Lost is what was reserved for calls whose outcome nobody saw: a killed process, a cut connection. It counts as spent.
	LostCalls int64  `json:"lost_calls"`
	Lost      Amount `json:"lost"`
	// Reserved is for the calls in flight.
	ReservedCalls int64  `json:"reserved_calls"`
	Reserved      Amount `json:"reserved"`
	// Over counts calls that cost more than was reserved for them.
	Over int64 `json:"over"`
	// Merged is what other stores spent whose values were merged into this one. It does not count against the budget.
	Merged map[string]Spend `json:"merged,omitempty"`
}

// Total is all that may have been spent by this store.
func (s Spend) Total() Amount { return s.Settled.add(s.Lost).add(s.Reserved) }

var (
	keyTotals     = []byte("totals")
	bucketCalls   = []byte("calls")  // id -> Amount of each call in flight
	bucketMergers = []byte("merged") // store id -> Spend
)

// Reserve sets an upper bound of a call's cost aside, on the disk, before the call is made. It returns ErrBudget when all that
// was spent and reserved would then exceed the budget.
func (s *Store) Reserve(bound Amount) (id uint64, err error) {
	if bound.Tokens < 0 || bound.Nanos < 0 {
		return 0, s.wrap(fmt.Errorf("reserving %v: an amount must not be negative", bound))
	}
	err = s.write(func(tx *bolt.Tx) error {
		spend, err := readTotals(tx)
		if err != nil {
			return err
		}
		// The difference cannot overflow, since both sides are sums of what was granted before.
		left := s.budget.sub(spend.Total())
		if s.budget.Tokens > 0 && bound.Tokens > left.Tokens {
			return fmt.Errorf("%w: it may take %d tokens, %d of %d are left", ErrBudget, bound.Tokens, max(left.Tokens, 0), s.budget.Tokens)
		}
		if s.budget.Nanos > 0 && bound.Nanos > left.Nanos {
			return fmt.Errorf("%w: it may cost %.9f, %.9f of %.9f are left", ErrBudget,
				float64(bound.Nanos)/1e9, float64(max(left.Nanos, 0))/1e9, float64(s.budget.Nanos)/1e9)
		}
		calls, err := tx.Bucket(bucketSpend).CreateBucketIfNotExists(bucketCalls)
		if err != nil {
			return fatal{err}
		}
		if id, err = calls.NextSequence(); err != nil {
			return fatal{err}
		}
		text, err := json.Marshal(bound)
		if err != nil {
			return fatal{err}
		}
		if err := calls.Put(callKey(id), text); err != nil {
			return fatal{err}
		}
		spend.ReservedCalls++
		spend.Reserved = spend.Reserved.add(bound)
		return writeTotals(tx, spend)
	})
	return id, err
}

// Settle replaces a reservation by what the call cost; the zero Amount for one that was not made or not charged.
func (s *Store) Settle(id uint64, actual Amount) error {
	if actual.Tokens < 0 || actual.Nanos < 0 {
		return s.wrap(fmt.Errorf("settling %v: an amount must not be negative", actual))
	}
	return s.release(id, func(spend *Spend, bound Amount) {
		spend.Calls++
		spend.Settled = spend.Settled.add(actual)
		if actual.Tokens > bound.Tokens || actual.Nanos > bound.Nanos {
			spend.Over++
		}
	})
}

// Lose gives up a reservation whose call may or may not have been charged: it counts as spent in full.
func (s *Store) Lose(id uint64) error { return s.release(id, (*Spend).lose) }

func (s *Spend) lose(bound Amount) {
	s.LostCalls++
	s.Lost = s.Lost.add(bound)
}

func (s *Store) release(id uint64, change func(*Spend, Amount)) error {
	return s.write(func(tx *bolt.Tx) error {
		calls := tx.Bucket(bucketSpend).Bucket(bucketCalls)
		var text []byte
		if calls != nil {
			text = calls.Get(callKey(id))
		}
		if text == nil {
			return fmt.Errorf("reservation %d is not open", id)
		}
		spend, err := readTotals(tx)
		if err != nil {
			return err
		}
		return releaseCall(tx, &spend, callKey(id), text, change)
	})
}

func releaseCall(tx *bolt.Tx, spend *Spend, key, text []byte, change func(*Spend, Amount)) error {
	var bound Amount
	if err := json.Unmarshal(text, &bound); err != nil {
		return fmt.Errorf("reservation %s: %w: %w", key, ErrDamaged, err)
	}
	spend.ReservedCalls--
	spend.Reserved = spend.Reserved.sub(bound)
	change(spend, bound)
	if err := tx.Bucket(bucketSpend).Bucket(bucketCalls).Delete(key); err != nil {
		return fatal{err}
	}
	return writeTotals(tx, *spend)
}

// loseReservations counts what a killed process had reserved as spent: its calls may have been charged.
func loseReservations(tx *bolt.Tx) error {
	calls := tx.Bucket(bucketSpend).Bucket(bucketCalls)
	if calls == nil {
		return nil
	}
	spend, err := readTotals(tx)
	if err != nil {
		return err
	}
	for {
		key, text := calls.Cursor().First()
		if key == nil {
			return nil
		}
		if err := releaseCall(tx, &spend, key, text, (*Spend).lose); err != nil {
			return err
		}
	}
}

// Spend returns the state of the ledger.
func (s *Store) Spend() (Spend, error) {
	var spend Spend
	err := s.view(func(tx *bolt.Tx) (err error) {
		spend, err = readSpend(tx)
		return err
	})
	return spend, err
}

func readSpend(tx *bolt.Tx) (Spend, error) {
	spend, err := readTotals(tx)
	if err != nil {
		return Spend{}, err
	}
	mergers := tx.Bucket(bucketSpend).Bucket(bucketMergers)
	if mergers == nil {
		return spend, nil
	}
	spend.Merged = map[string]Spend{}
	return spend, mergers.ForEach(func(id, text []byte) error {
		var m Spend
		if err := json.Unmarshal(text, &m); err != nil {
			return fmt.Errorf("spend of merged store %s: %w: %w", id, ErrDamaged, err)
		}
		spend.Merged[string(id)] = m
		return nil
	})
}

func callKey(id uint64) []byte { return fmt.Appendf(nil, "%020d", id) }

func readTotals(tx *bolt.Tx) (spend Spend, err error) {
	if text := tx.Bucket(bucketSpend).Get(keyTotals); text != nil {
		if err := json.Unmarshal(text, &spend); err != nil {
			return spend, fmt.Errorf("the ledger: %w: %w", ErrDamaged, err)
		}
	}
	return spend, nil
}

func writeTotals(tx *bolt.Tx, spend Spend) error {
	text, err := json.Marshal(spend)
	if err != nil {
		return fatal{err}
	}
	return asFatal(tx.Bucket(bucketSpend).Put(keyTotals, text))
}
