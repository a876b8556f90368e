package mysqldouble

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/pem"
	"net"
	"sync"
	"testing"
)

// ours is the key that a rogue shows.
var ours = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// Key returns the public key of a rogue, in PEM.
func Key() []byte { return PEM(&ours().PublicKey) }

// PEM returns a public key as a server shows it.
func PEM(key *rsa.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Rogue stands in the place of a server.
type Rogue struct {
	mu      sync.Mutex
	packets [][]byte
}

// NewRogue serves a rogue that greets, and answers each packet of a connection with the next of these payloads.
func NewRogue(t testing.TB, l net.Listener, plugin string, answers ...[]byte) *Rogue {
	r := &Rogue{}
	serve(t, l, func(c net.Conn) {
		defer c.Close()
		c.Write(Packet(0, Greeting(plugin)...))
		for i := 0; ; i++ {
			packet, err := ReadPacket(c)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.packets = append(r.packets, packet)
			r.mu.Unlock()
			if i == len(answers) {
				return
			}
			c.Write(Packet(packet[3]+1, answers[i]...))
		}
	})
	return r
}

// Packets returns what clients have sent.
func (r *Rogue) Packets() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.packets
}

// Betrays reports whether somebody who has key, and chose the challenges, finds a secret in what a client sent.
func Betrays(sent, secret []byte, key *rsa.PrivateKey, challenges ...[]byte) bool {
	if key == nil {
		key = ours()
	}
	challenges = append(challenges, Scramble, Scramble[:8])
	texts := [][]byte{sent}
	for i := 3; i+key.Size() <= len(sent); i++ {
		// A packet that holds nothing else, or the answer to a greeting.
		packet := i > 3 && int(sent[i-4])|int(sent[i-3])<<8|int(sent[i-2])<<16 == key.Size()
		answer := sent[i-3] == 0xfc && int(sent[i-2])|int(sent[i-1])<<8 == key.Size()
		if !packet && !answer {
			continue
		}
		if text, err := rsa.DecryptOAEP(sha1.New(), nil, key, sent[i:i+key.Size()], nil); err == nil {
			texts = append(texts, text)
		}
	}
	for _, text := range texts {
		if bytes.Contains(text, secret) {
			return true
		}
		for _, challenge := range challenges {
			mixed := bytes.Clone(text)
			for i := range mixed {
				mixed[i] ^= challenge[i%len(challenge)]
			}
			if bytes.Contains(mixed, secret) {
				return true
			}
		}
	}
	return false
}
