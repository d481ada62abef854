package prm

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/filelock"
	"github.com/goprm/goprm/internal/nnet"
)

// fillTogether is fill for the ranks of a run: each computes what the cache lacks of its share of the texts, and all find the rest there.
func (c *featureCache) fillTogether(ctx context.Context, f *features, missing wanted, open func() (*nnet.Network, error)) error {
	mine := c.shareOf(missing)
	err := c.find(f, missing, false)
	if err := c.ranks.Agree(err); err != nil {
		return err
	}
	if lacking, err := c.ranks.Any(len(missing) > 0); err != nil || !lacking {
		return err
	}
	var lock *filelock.Lock
	err = c.ranks.First(func() (err error) { // for all ranks
		if err = os.MkdirAll(c.folder(), 0o777); err != nil {
			return fmt.Errorf("cache: %w", err)
		}
		lock, err = waitFor(ctx, c.folder(), func(process int) {
			c.info("hidden states: waiting for process %d, which computes some of this model", process)
		})
		if err != nil {
			return err
		}
		return c.find(f, missing, true)
	})
	if lock != nil {
		defer func() { _ = lock.Release() }() // the rows are written by then, and the system frees it too
	}
	if err != nil {
		return err
	}
	if err := c.ranks.Agree(c.computeShare(ctx, f, missing, mine, open)); err != nil {
		return err
	}
	err = c.find(f, missing, false)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("cache: %d of the texts that other ranks computed are not in %s: it must lie on a file system that all ranks share",
			len(missing), c.folder())
	}
	return c.ranks.Agree(err)
}

// shareOf lists the texts that this rank computes, whether the cache has them or not: so all ranks deal alike.
func (c *featureCache) shareOf(texts wanted) map[string]bool {
	var keys []string
	for key := range texts {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	list, mine := make([]*data.Example, len(keys)), map[string]bool{}
	for i, key := range keys {
		list[i] = texts[key][0]
	}
	for _, i := range dealTokens(list, c.ranks.World)[c.ranks.Rank] {
		mine[keys[i]] = true
	}
	return mine
}

// computeShare computes what is missing of this rank's share.
func (c *featureCache) computeShare(ctx context.Context, f *features, missing wanted, mine map[string]bool,
	open func() (*nnet.Network, error)) error {
	if err := c.find(f, missing, false); err != nil {
		return err
	}
	share := wanted{}
	for key, examples := range missing {
		if mine[key] {
			share[key] = examples
		}
	}
	if len(share) == 0 {
		return nil
	}
	network, err := open()
	if err != nil {
		return err
	}
	return c.compute(ctx, share, network)
}
