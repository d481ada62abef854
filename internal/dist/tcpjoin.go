package dist

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

// hello is the first line that a rank sends on a connection; peers is the answer of rank 0.
type hello struct {
	Job   string `json:"job"`
	World int    `json:"world"`
	Rank  int    `json:"rank"`
	Port  int    `json:"port"` // where it waits for ranks above it
}

// peer is where a rank listens; without a host on the machine of rank 0.
type peer struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// joinTCP connects every two ranks: all call rank 0 at MASTER_ADDR, which tells them where the others listen. The network must be
// trusted: who reaches the port while the ranks gather, and knows the job's name, is taken for a rank.
func joinTCP(ctx context.Context, launch Launch) (Engine, error) {
	switch {
	case launch.Launcher == "Open MPI" || launch.Launcher == "MPICH":
		return nil, fmt.Errorf("%w: the ranks have MPI", ErrNotHere)
	case launch.Master == "" || launch.MasterPort == 0:
		return nil, fmt.Errorf("%w: MASTER_ADDR and MASTER_PORT are not both set", ErrNotHere)
	}
	m := mesh{Launch: launch, job: jobName(), tcp: &tcp{rank: launch.Rank, world: launch.World, peers: make([]net.Conn, launch.World)}}
	if os.Getenv("TORCHELASTIC_USE_AGENT_STORE") == "True" {
		m.MasterPort++ // torchrun itself listens on MASTER_PORT
	}
	err := m.join(ctx)
	if err != nil {
		m.Abort()
		return nil, err
	}
	return m.tcp, nil
}

// jobName tells jobs apart that come to the same port.
func jobName() string {
	return os.Getenv("TORCHELASTIC_RUN_ID") + "/" + os.Getenv("SLURM_JOB_ID") + "/" + os.Getenv("SLURM_STEP_ID")
}

// mesh is the connections in the making.
type mesh struct {
	Launch
	*tcp
	job string
}

func (m *mesh) join(ctx context.Context) error {
	host := ""
	if ip := net.ParseIP(m.Master); m.Master == "localhost" || ip != nil && ip.IsLoopback() {
		host = m.Master // nobody else can come
	}
	port := 0
	if m.Launch.Rank == 0 {
		port = m.MasterPort
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // all have come by then
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	if m.Launch.Rank == 0 {
		return m.receiveAll(listener)
	}
	return m.callAll(ctx, listener)
}

// receiveAll is rank 0's part: when all have called, each is told where the others are.
func (m *mesh) receiveAll(listener net.Listener) error {
	table := make([]peer, m.Launch.World)
	for range m.Launch.World - 1 {
		conn, h, err := m.accept(listener)
		if err != nil {
			return err
		}
		address := conn.RemoteAddr().(*net.TCPAddr)
		if table[h.Rank].Port = h.Port; !address.IP.IsLoopback() {
			table[h.Rank].Host = address.IP.String()
		}
	}
	for _, conn := range m.peers[1:] {
		if err := json.NewEncoder(conn).Encode(table); err != nil {
			return err
		}
	}
	return nil
}

// callAll is the part of the others: rank 0 first, then those below; those above call.
func (m *mesh) callAll(ctx context.Context, listener net.Listener) error {
	first, err := m.call(ctx, 0, net.JoinHostPort(m.Master, strconv.Itoa(m.MasterPort)), listener.Addr().(*net.TCPAddr).Port)
	if err != nil {
		return err
	}
	var table []peer
	line, err := readLine(first, 64*m.Launch.World+64)
	if err == nil {
		err = json.Unmarshal(line, &table)
	}
	if err != nil {
		return fmt.Errorf("rank 0: %w", gone(err))
	}
	if len(table) != m.Launch.World {
		return fmt.Errorf("rank 0 names %d ranks", len(table))
	}
	for r := 1; r < m.Launch.Rank; r++ {
		host := table[r].Host
		if host == "" {
			host = first.RemoteAddr().(*net.TCPAddr).IP.String()
		}
		if _, err := m.call(ctx, r, net.JoinHostPort(host, strconv.Itoa(table[r].Port)), 0); err != nil {
			return err
		}
	}
	for range m.Launch.World - 1 - m.Launch.Rank {
		if _, _, err := m.accept(listener); err != nil {
			return err
		}
	}
	return nil
}

// call connects to another rank, and says who calls. It tries again where nobody listens yet.
func (m *mesh) call(ctx context.Context, rank int, address string, port int) (net.Conn, error) {
	for {
		conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
		if err == nil {
			m.peers[rank] = conn
			return conn, json.NewEncoder(conn).Encode(hello{m.job, m.Launch.World, m.Launch.Rank, port})
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("rank %d at %s: %w", rank, address, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// accept takes the next call of a rank of this job. Other callers are sent away.
func (m *mesh) accept(listener net.Listener) (net.Conn, hello, error) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil, hello{}, errors.Join(err, m.missing())
		}
		var h hello
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second)) // a connection that cannot have one fails when it is read
		line, err := readLine(conn, 4096)
		if err != nil || json.Unmarshal(line, &h) != nil || h.Job != m.job {
			_ = conn.Close() // no rank of ours
			continue
		}
		if h.World != m.Launch.World || h.Rank <= m.Launch.Rank || h.Rank >= m.Launch.World || m.peers[h.Rank] != nil {
			_ = conn.Close()
			return nil, h, fmt.Errorf("%s says that it is rank %d of %d, which is not expected", conn.RemoteAddr(), h.Rank, h.World)
		}
		_ = conn.SetReadDeadline(time.Time{})
		m.peers[h.Rank] = conn
		return conn, h, nil
	}
}

// readLine reads a line and nothing behind it, which a call may have to read.
func readLine(conn net.Conn, limit int) ([]byte, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < limit; {
		if _, err := io.ReadFull(conn, b); err != nil {
			return nil, err
		}
		if b[0] == '\n' {
			return line, nil
		}
		line = append(line, b[0])
	}
	return nil, fmt.Errorf("a line of more than %d bytes", limit)
}

// missing names the ranks that did not come.
func (m *mesh) missing() error {
	var ranks []int
	for r := m.Launch.Rank + 1; r < m.Launch.World; r++ {
		if m.peers[r] == nil {
			ranks = append(ranks, r)
		}
	}
	return fmt.Errorf("ranks %v did not come", ranks)
}
