package prm

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// deviceList splits OpenOptions.Device.
func deviceList(device string) ([]string, error) {
	list := strings.Split(device, ",")
	for i, d := range list {
		list[i] = strings.TrimSpace(d)
		switch {
		case len(list) > 1 && (list[i] == "" || list[i] == "auto"):
			return nil, fmt.Errorf("device %q: of several devices each has its name, such as cuda:0,cuda:1", device)
		case slices.Contains(list[:i], list[i]):
			return nil, fmt.Errorf("device %q: %s stands twice", device, list[i])
		}
	}
	return list, nil
}

// replicate opens the model on further devices. All of them have weights, a queue and a prefix cache of their own, and the files, the
// tokenizer and the text in common.
func (m *Model) replicate(devices []string, opt OpenOptions) error {
	name, kernels := deviceAndKernels(m.backend)
	for _, device := range devices {
		r := &Model{format: m.format, public: m.public, card: m.card, folder: m.folder, referenceFolder: m.referenceFolder,
			badWeights: m.badWeights, renderWithin: m.renderWithin, cut: m.cut}
		r.queue.read, r.cache.want = r.readTexts, m.cache.want
		m.replicas = append(m.replicas, r)
		opt.Device = device
		if err := r.bringTo(opt); err != nil {
			return err
		}
		if r.info.DType != m.info.DType {
			return fmt.Errorf("device %s computes in %s and %s in %s: choose a dtype", name, m.info.DType, device, r.info.DType)
		}
		if _, other := deviceAndKernels(r.backend); other != kernels {
			return fmt.Errorf("device %s has the kernels %s and %s %s, whose scores have other bits: choose a backend that both have", name,
				kernels, device, other)
		}
		m.info.Backend = strings.TrimSuffix(m.info.Backend, "/"+kernels) + "," + r.info.Backend
	}
	return nil
}

// devices are the model on its first device and on the others.
func (m *Model) devices() []*Model { return append([]*Model{m}, m.replicas...) }

// device is the name of the one that m itself computes on.
func (m *Model) device() string {
	device, _ := deviceAndKernels(m.backend)
	return device
}

// usable tells why no device takes texts; nil: one does.
func (m *Model) usable() error {
	var first error
	for _, d := range m.devices() {
		err := d.queue.check()
		if err == nil {
			return nil
		}
		first = cmp.Or(first, err)
	}
	return first
}

// loads are the devices that take texts, and how many tokens each has to read. Without any it is the first, which says why.
func (m *Model) loads() (list []*Model, tokens []int) {
	for _, d := range m.devices() {
		if d.queue.check() == nil {
			list, tokens = append(list, d), append(tokens, d.queue.load())
		}
	}
	if list == nil {
		return []*Model{m}, []int{0}
	}
	return list, tokens
}

// leastLoaded is the device with the fewest tokens to read, the first of several.
func (m *Model) leastLoaded() *Model {
	list, tokens := m.loads()
	return list[slices.Index(tokens, slices.Min(tokens))]
}

// newHome is the device that a session goes to: the one with the fewest tokens to read, and of several, such as those that are idle, that
// which was given the fewest sessions.
func (m *Model) newHome() *Model {
	list, tokens := m.loads()
	best := 0
	for i, d := range list {
		if tokens[i] < tokens[best] || tokens[i] == tokens[best] && d.sessions.Load() < list[best].sessions.Load() {
			best = i
		}
	}
	list[best].sessions.Add(1)
	return list[best]
}

// read has texts read, each on the device that has the fewest tokens to read by then. Its error is that of the call, see textQueue.do.
func (m *Model) read(ctx context.Context, texts []*queued, budget int) error {
	list, tokens := m.loads()
	shares, failed := make([][]*queued, len(list)), make([]error, len(list))
	for _, t := range texts {
		i := slices.Index(tokens, slices.Min(tokens))
		shares[i] = append(shares[i], t)
		tokens[i] += t.tokens
	}
	var all sync.WaitGroup
	for i, d := range list {
		all.Go(func() { failed[i] = d.queue.do(ctx, shares[i], budget) })
	}
	all.Wait()
	return cmp.Or(failed...)
}
