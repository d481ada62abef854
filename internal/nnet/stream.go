package nnet

import (
	"errors"
	"fmt"

	"github.com/goprm/goprm/internal/engine"
)

// streamedLayers are the frozen weights of a network's layers where they stay on the host, and are brought to the device for each pass, in
// reverse order for a backward pass. The methods take nil: a network whose weights are all in the backend's memory.
type streamedLayers struct {
	backend engine.StreamsWeights
	tensors map[string]*engine.Tensor // on the host, by parameter name
	bytes   map[int]int               // of each layer, as a place has them
	stream  engine.WeightStream
}

func newStreamedLayers(spec Spec, b engine.Backend) (*streamedLayers, error) {
	backend, ok := b.(engine.StreamsWeights)
	switch {
	case !ok:
		return nil, fmt.Errorf("streamed layers: %s computes where the weights lie", b.Name())
	case spec.Train == TrainFull:
		return nil, errors.New("streamed layers: they stay as they are; train: lora or head")
	}
	return &streamedLayers{backend: backend, tensors: map[string]*engine.Tensor{}, bytes: map[int]int{}}, nil
}

// layerOf is the number of the layer that a parameter belongs to; -1: none.
func layerOf(name string) int {
	layer := -1
	if _, err := fmt.Sscanf(name, "model.layers.%d.", &layer); err != nil {
		return -1
	}
	return layer
}

// streams reports whether a network with streamed layers leaves the parameter on the host, and of which layer it is.
func (p *Parameter) streams() (layer int, ok bool) {
	layer = layerOf(p.Name)
	return layer, layer >= 0 && !p.Trained
}

// takes keeps the parameter if it is a layer's and frozen.
func (l *streamedLayers) takes(p *Parameter, host *engine.Tensor) bool {
	layer, ok := p.streams()
	if l == nil || !ok {
		return false
	}
	l.tensors[p.Name] = host
	l.bytes[layer] += engine.GroupBytes(int(host.MemSize()))
	return true
}

// start takes the device's memory for two of the largest layer.
func (l *streamedLayers) start() (err error) {
	most := 0
	for _, bytes := range l.bytes {
		most = max(most, bytes)
	}
	l.stream, err = l.backend.StreamWeights(most)
	return err
}

// host is a streamed parameter's tensor; nil: it is none.
func (l *streamedLayers) host(name string) *engine.Tensor {
	if l == nil {
		return nil
	}
	return l.tensors[name]
}

// of are the streamed inputs of a graph, layer by layer.
func (l *streamedLayers) of(g *Graph) *engine.Streamed {
	if l == nil {
		return nil
	}
	s := &engine.Streamed{Stream: l.stream, Groups: make([]engine.WeightGroup, g.Spec.Config.NumHiddenLayers)}
	for _, p := range g.Params {
		if host := l.tensors[p.Name]; host != nil {
			group := &s.Groups[layerOf(p.Name)]
			group.Nodes, group.Host = append(group.Nodes, p.Node), append(group.Host, host)
		}
	}
	return s
}

func (l *streamedLayers) close() error {
	if l == nil || l.stream == nil {
		return nil
	}
	stream := l.stream
	l.stream = nil
	return stream.Close()
}

// onHost downloads from memory that is there already.
type onHost struct{ engine.Backend }

// Download copies.
func (onHost) Download(dst []byte, src *engine.Tensor) error {
	copy(dst, src.Bytes())
	return nil
}
