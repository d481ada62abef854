package runlog

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// Text writes a text, which TensorBoard shows as Markdown.
func (e *Events) Text(step int, tag, text string) error {
	plugin := stringField(nil, 1, "text")
	metadata := bytesField(nil, 1, plugin)
	metadata = varintField(metadata, 4, 2) // SummaryMetadata.data_class: DATA_CLASS_TENSOR
	tensor := varintField(nil, 1, 7)       // TensorProto.dtype: DT_STRING
	one := bytesField(nil, 2, varintField(nil, 1, 1))
	tensor = bytesField(tensor, 2, one) // TensorProto.tensor_shape: [1]
	tensor = stringField(tensor, 8, text)
	return e.summary(step, tag, metadata, tensor)
}

// HParams writes a run's hyperparameters, numbers where a value is a float64 and texts otherwise, for TensorBoard's table of runs
// (tensorboard/plugins/hparams/plugin_data.proto).
func (e *Events) HParams(values map[string]any) error {
	var start []byte // SessionStartInfo
	for _, name := range slices.Sorted(maps.Keys(values)) {
		var value []byte // google.protobuf.Value
		switch v := values[name].(type) {
		case float64:
			value = doubleField(nil, 2, v)
		case string:
			value = stringField(nil, 3, v)
		}
		entry := bytesField(stringField(nil, 1, name), 2, value)
		start = bytesField(start, 1, entry)
	}
	start = doubleField(start, 5, float64(e.now().UnixMicro())/1e6)
	content := bytesField(nil, 3, start) // HParamsPluginData.session_start_info
	metadata := bytesField(nil, 1, bytesField(stringField(nil, 1, "hparams"), 2, content))
	tensor := varintField(nil, 1, 1) // DT_FLOAT, of no elements
	tensor = bytesField(tensor, 2, bytesField(nil, 2, varintField(nil, 1, 0)))
	return e.summary(0, "_hparams_/session_start_info", metadata, tensor)
}

// summary writes one value that is a tensor with the metadata of a plugin.
func (e *Events) summary(step int, tag string, metadata, tensor []byte) error {
	value := stringField(nil, 1, tag)
	value = bytesField(value, 8, tensor)   // Summary.Value.tensor
	value = bytesField(value, 9, metadata) // Summary.Value.metadata
	event := varintField(nil, 2, uint64(int64(step)))
	return e.record(bytesField(event, 5, bytesField(nil, 1, value)))
}

func doubleField(to []byte, field byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(append(to, field<<3|wireFixed64), math.Float64bits(v))
}
