// Package mysqldouble has servers for tests that do what no honest one does.
//
//	client ── Between ── a real server: stalls after so many bytes, or says something else in place of a packet
//	client ── Rogue: no server at all, but one that wants the password
package mysqldouble

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// Between stands between clients and a real server.
type Between struct {
	target string
	spoil  func(nth int, packet []byte) (instead []byte, stall bool)

	mu       sync.Mutex
	left     int64 // bytes of answers that still pass; below zero: all
	answers  int   // packets that the server sent
	sent     int64 // bytes of them
	received bytes.Buffer
	ends     []net.Conn
}

// Stall passes connections on to a server until it has passed so many bytes of its answers, of all connections
// together; then it keeps them, and those that come later, open and says nothing more. Below zero it never stalls.
func Stall(t testing.TB, l net.Listener, target string, after int64) *Between {
	b := &Between{target: target, left: after}
	serve(t, l, b.pass)
	t.Cleanup(b.close)
	return b
}

// Replace passes connections on, and asks spoil about each packet of the server's, counted from 0 over all connections.
// What it returns is sent instead; after a stall nothing more is.
func Replace(
	t testing.TB, l net.Listener, target string, spoil func(nth int, packet []byte) (instead []byte, stall bool),
) *Between {
	b := &Between{target: target, left: -1, spoil: spoil}
	serve(t, l, b.pass)
	t.Cleanup(b.close)
	return b
}

// Listen listens at a free port of the loopback.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func serve(t testing.TB, l net.Listener, each func(net.Conn)) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go each(c)
		}
	}()
}

// Sent returns how many bytes and packets of answers have passed.
func (b *Between) Sent() (int64, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent, b.answers
}

// Received returns what the clients have sent.
func (b *Between) Received() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.received.Bytes())
}

func (b *Between) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.ends {
		c.Close()
	}
}

func (b *Between) pass(client net.Conn) {
	server, err := net.Dial("tcp", b.target)
	if err != nil {
		client.Close()
		return
	}
	b.mu.Lock()
	b.ends = append(b.ends, client, server)
	b.mu.Unlock()
	go func() {
		io.Copy(writerFunc(func(p []byte) (int, error) {
			b.mu.Lock()
			b.received.Write(p)
			b.mu.Unlock()
			return server.Write(p)
		}), client)
		server.Close()
	}()
	for {
		packet, err := ReadPacket(server)
		if err != nil {
			break
		}
		send, stall := b.what(packet)
		if _, err := client.Write(send); err != nil {
			break
		}
		if stall {
			return // both stay open until the test ends or the client goes
		}
	}
	client.Close()
}

// what returns what is sent in place of a packet.
func (b *Between) what(packet []byte) (send []byte, stall bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	send = packet
	if b.spoil != nil {
		send, stall = b.spoil(b.answers, packet)
	}
	if b.left >= 0 && int64(len(send)) >= b.left {
		send, stall = send[:b.left], true
	}
	if b.left >= 0 {
		b.left -= int64(len(send))
	}
	b.answers++
	b.sent += int64(len(send))
	return send, stall
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
