package prm

// ContentHash is the SHA-256 of the files that the model's scores depend on, those of its base among them.
func (m *Model) ContentHash() (string, error) {
	m.hashing.Lock()
	defer m.hashing.Unlock()
	if err := m.usable(); err != nil {
		return "", err
	}
	return m.folder.ContentHash()
}

// ResponseFirst tells whether a step is scored with the whole response before it.
func (m *Model) ResponseFirst() bool { return m.card.Text.Order == "response_first" }
