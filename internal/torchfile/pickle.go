package torchfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// What the machine works with, besides string, int64, bool, nil and tuple.
type (
	tuple  []any
	global string // a name that the pickle mentions; it is compared, never looked up
	dict   struct {
		keys   []any
		values []any
	}
	// marker is where a variable number of operands begins.
	marker struct{}
)

// The names that a state dict may mention, besides the storages.
const (
	orderedDict      = global("collections OrderedDict")
	rebuildTensor    = global("torch._utils _rebuild_tensor_v2")
	rebuildParameter = global("torch._utils _rebuild_parameter")
)

// machine runs a pickle of protocol 2. Every instruction takes at least a byte and makes at most one object, so memory is in
// proportion to the pickle.
type machine struct {
	code  []byte
	at    int // of the instruction that runs
	next  int
	stack []any
	memo  map[uint32]any
	// persistent resolves what the pickle keeps outside of it: the storages.
	persistent func(id tuple) (any, error)
	// reduce makes an object of the named kind.
	reduce func(name global, args tuple) (any, error)
}

// run returns the one object that the pickle makes.
func (m *machine) run() (any, error) {
	m.memo = map[uint32]any{}
	for {
		m.at = m.next
		op, err := m.bytes(1)
		if err != nil {
			return nil, m.fault(err)
		}
		if op[0] == '.' {
			break
		}
		if err := m.step(op[0]); err != nil {
			return nil, m.fault(err)
		}
	}
	if m.next != len(m.code) {
		return nil, fmt.Errorf("data.pkl: %d bytes follow its end at offset %d", len(m.code)-m.next, m.next)
	}
	v, err := m.pop()
	if err == nil && len(m.stack) > 0 {
		err = fmt.Errorf("%d objects are left over", len(m.stack))
	}
	if err != nil {
		return nil, m.fault(err)
	}
	return v, nil
}

func (m *machine) fault(err error) error { return fmt.Errorf("data.pkl: offset %d: %w", m.at, err) }

func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		version, err := m.bytes(1)
		if err == nil && version[0] != 2 {
			err = fmt.Errorf("pickle protocol %d; torch.save writes 2", version[0])
		}
		return err
	case '(':
		m.push(marker{})
	case ')':
		m.push(tuple{})
	case 't':
		items, err := m.marked()
		if err != nil {
			return err
		}
		m.push(tuple(items))
	case 0x85, 0x86, 0x87: // TUPLE1 to TUPLE3
		items, err := m.take(int(op) - 0x84)
		if err != nil {
			return err
		}
		m.push(tuple(items))
	case '}':
		m.push(&dict{})
	case 'N':
		m.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		m.push(op == 0x88)
	case 'K', 'M', 'J', 0x8a:
		return m.integer(op)
	case 'X':
		return m.text()
	case 'c':
		return m.global()
	case 'q', 'r', 'h', 'j':
		return m.remember(op)
	case 's', 'u':
		return m.setItems(op)
	case 'Q', 'R', 'b':
		return m.build(op)
	default:
		return fmt.Errorf("instruction 0x%02x is none that a state dict of pickle protocol 2 needs", op)
	}
	return nil
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

func (m *machine) bytes(n int) ([]byte, error) {
	if n > len(m.code)-m.next {
		return nil, fmt.Errorf("the pickle ends after %d bytes, in the middle of an instruction", len(m.code))
	}
	b := m.code[m.next : m.next+n]
	m.next += n
	return b, nil
}

// take removes the uppermost n objects, none of which may be a marker.
func (m *machine) take(n int) ([]any, error) {
	if n > len(m.stack) {
		return nil, errors.New("the stack is empty")
	}
	items := append([]any{}, m.stack[len(m.stack)-n:]...)
	for _, v := range items {
		if v == (marker{}) {
			return nil, errors.New("a marker where an object is expected")
		}
	}
	m.stack = m.stack[:len(m.stack)-n]
	return items, nil
}

func (m *machine) pop() (any, error) {
	items, err := m.take(1)
	if err != nil {
		return nil, err
	}
	return items[0], nil
}

// marked removes the objects above the uppermost marker, and it.
func (m *machine) marked() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if m.stack[i] == (marker{}) {
			items := append([]any{}, m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return items, nil
		}
	}
	return nil, errors.New("no marker on the stack")
}

func (m *machine) integer(op byte) error {
	size := map[byte]int{'K': 1, 'M': 2, 'J': 4, 0x8a: 1}[op]
	b, err := m.bytes(size)
	if err != nil {
		return err
	}
	switch op {
	case 'K':
		m.push(int64(b[0]))
	case 'M':
		m.push(int64(binary.LittleEndian.Uint16(b)))
	case 'J':
		m.push(int64(int32(binary.LittleEndian.Uint32(b))))
	default: // LONG1: two's complement of the given length
		length := int(b[0])
		if length > 8 {
			return fmt.Errorf("an integer of %d bytes", length)
		}
		if b, err = m.bytes(length); err != nil {
			return err
		}
		var v int64
		for i := length - 1; i >= 0; i-- {
			v = v<<8 | int64(b[i])
		}
		if shift := 64 - 8*length; length > 0 {
			v = v << shift >> shift
		}
		m.push(v)
	}
	return nil
}

func (m *machine) text() error {
	b, err := m.bytes(4)
	if err != nil {
		return err
	}
	length := binary.LittleEndian.Uint32(b)
	if uint64(length) > uint64(len(m.code)) {
		return fmt.Errorf("a text of %d bytes in a pickle of %d", length, len(m.code))
	}
	if b, err = m.bytes(int(length)); err != nil {
		return err
	}
	if !utf8.Valid(b) {
		return errors.New("a text that is not UTF-8")
	}
	m.push(string(b))
	return nil
}

// global reads module and name, a line each.
func (m *machine) global() error {
	var parts [2]string
	for i := range parts {
		from := m.next
		for {
			b, err := m.bytes(1)
			if err != nil {
				return err
			}
			if b[0] == '\n' {
				break
			}
		}
		parts[i] = string(m.code[from : m.next-1])
	}
	name := global(parts[0] + " " + parts[1])
	switch name {
	case orderedDict, rebuildTensor, rebuildParameter:
	default:
		if _, known := storages[name]; !known {
			return fmt.Errorf("%s.%s is none of the names that a state dict needs; nothing was executed", clip(parts[0]), clip(parts[1]))
		}
	}
	m.push(name)
	return nil
}

// clip makes a name from a file fit for a message.
func clip(s string) string {
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	quoted := fmt.Sprintf("%q", s)
	return quoted[1 : len(quoted)-1]
}

// remember stores the uppermost object in the memo, or pushes one from there.
func (m *machine) remember(op byte) error {
	size := 1
	if op == 'r' || op == 'j' {
		size = 4
	}
	b, err := m.bytes(size)
	if err != nil {
		return err
	}
	index := uint32(b[0])
	if size == 4 {
		index = binary.LittleEndian.Uint32(b)
	}
	if op == 'q' || op == 'r' {
		v, err := m.pop()
		if err != nil {
			return err
		}
		m.memo[index] = v
		m.push(v)
		return nil
	}
	v, ok := m.memo[index]
	if !ok {
		return fmt.Errorf("entry %d of the memo was never stored", index)
	}
	m.push(v)
	return nil
}

// setItems adds one pair, or all above the marker, to the dict below.
func (m *machine) setItems(op byte) error {
	var items []any
	var err error
	if op == 's' {
		items, err = m.take(2)
	} else {
		items, err = m.marked()
	}
	if err != nil {
		return err
	}
	if len(items)%2 != 0 {
		return errors.New("a key without a value")
	}
	if len(m.stack) == 0 {
		return errors.New("the stack is empty")
	}
	d, ok := m.stack[len(m.stack)-1].(*dict)
	if !ok {
		return errors.New("items for something that is no dict")
	}
	for i := 0; i < len(items); i += 2 {
		d.keys, d.values = append(d.keys, items[i]), append(d.values, items[i+1])
	}
	return nil
}

// build runs what refers to other objects: a storage outside of the pickle, a call, an object's state.
func (m *machine) build(op byte) error {
	if op == 'Q' {
		id, err := m.pop()
		if err != nil {
			return err
		}
		args, ok := id.(tuple)
		if !ok {
			return errors.New("a reference that is no tuple")
		}
		v, err := m.persistent(args)
		if err != nil {
			return err
		}
		m.push(v)
		return nil
	}
	pair, err := m.take(2)
	if err != nil {
		return err
	}
	if op == 'b' { // an OrderedDict's attributes, such as _metadata, say nothing about tensors
		if _, ok := pair[0].(*dict); !ok {
			return errors.New("state for something that is no dict")
		}
		state, ok := pair[1].(*dict)
		if !ok || slices.ContainsFunc(state.keys, func(key any) bool { return key != "_metadata" }) {
			return errors.New("a dict with attributes other than _metadata")
		}
		m.push(pair[0])
		return nil
	}
	name, isName := pair[0].(global)
	args, isTuple := pair[1].(tuple)
	if !isName || !isTuple {
		return errors.New("a call of something that is no name, or without a tuple")
	}
	v, err := m.reduce(name, args)
	if err != nil {
		return err
	}
	m.push(v)
	return nil
}
