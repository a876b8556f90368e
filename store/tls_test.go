package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"f2bc/store/mariadbtest"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// issue writes name.crt and name.key, signed by a, or by itself where a has no certificate yet.
func (a *authority) issue(name string, template x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(a.t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-48 * time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(48 * time.Hour)
	}
	if template.Subject.CommonName == "" {
		template.Subject.CommonName = name
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = &template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, &key.PublicKey, signer)
	check(a.t, err)
	cert, err := x509.ParseCertificate(der)
	check(a.t, err)
	text, err := x509.MarshalPKCS8PrivateKey(key)
	check(a.t, err)
	check(a.t, os.WriteFile(a.path(name+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	check(a.t, os.WriteFile(a.path(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}), 0o600))
	return cert, key
}

func (a *authority) server(name string, after time.Time, hosts ...string) string {
	template := x509.Certificate{NotAfter: after}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	cert, _ := a.issue(name, template)
	return fingerprint(cert)
}

// TestTLS connects to a real server with one certificate after the other. Who is refused is told why and what to do.
func TestTLS(t *testing.T) {
	ours, other := newAuthority(t, "ours"), newAuthority(t, "other")
	server := mariadbtest.New(t)
	server.Args = []string{"--ssl-ca=" + ours.path("ca.crt"), "--ssl-cert=" + ours.path("server.crt"), "--ssl-key=" + ours.path("server.key")}
	pin := ours.server("server", time.Time{}, "127.0.0.1", "0.0.0.0", "localhost")
	check(t, server.Start())
	database := server.Database(t)
	server.Exec(t, "CREATE USER web@'%' IDENTIFIED BY 'sesame'; GRANT ALL ON *.* TO web@'%';"+
		"CREATE USER strict@'%' IDENTIFIED BY 'sesame' REQUIRE X509; GRANT ALL ON *.* TO strict@'%'")
	initStore(t, Options{DSN: server.DSN(database)})
	ours.issue("client", x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	other.issue("client", x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})

	serve := func(t *testing.T, after time.Time, hosts ...string) string {
		sum := ours.server("server", after, hosts...)
		server.Exec(t, "FLUSH SSL")
		return sum
	}
	ca := "tls-ca=" + ours.path("ca.crt")
	zeros := strings.Repeat("00", 32)
	var colons []string
	for i := 0; i < len(pin); i += 2 {
		colons = append(colons, strings.ToUpper(pin[i:i+2]))
	}
	for _, c := range []struct {
		name, user, host, options, want string
	}{
		{"own CA", "web", "127.0.0.1", ca, ""},
		{"own CA, not loopback", "web", "0.0.0.0", ca, ""}, // which is this machine, but no loopback address
		{"own CA, a name", "web", "localhost", ca, ""},
		{"pin", "web", "0.0.0.0", "tls=sha256:" + pin, ""},
		{"pin as openssl prints it, the second of two", "web", "127.0.0.1", "tls=sha256:" + zeros + "," + strings.Join(colons, ":"), ""},
		{"no TLS, as is written", "web", "0.0.0.0", "tls=false", ""},
		{"client certificate", "strict", "127.0.0.1", ca + "&tls-cert=" + ours.path("client.crt") + "&tls-key=" + ours.path("client.key"), ""},

		{"the system's CAs", "web", "0.0.0.0", "", "x509: certificate signed by unknown authority (name the CA that signed the server's certificate with tls-ca=/path in the dsn; " +
			"where there is none, pin it with tls=sha256:" + pin},
		{"wrong CA", "web", "127.0.0.1", "tls-ca=" + other.path("ca.crt"), "x509: certificate signed by unknown authority"},
		{"wrong pin", "web", "127.0.0.1", "tls=sha256:" + zeros, "the server's certificate is sha256:" + pin + ", which is not the one that the dsn pins (if the server got a new"},
		{"client certificate missing", "strict", "127.0.0.1", ca, "an account that requires a client certificate needs tls-cert in the dsn"},
		{"client certificate of another CA", "strict", "127.0.0.1", ca + "&tls-cert=" + other.path("client.crt") + "&tls-key=" + other.path("client.key"),
			"the server refused this host's TLS: check tls-cert"},
		{"no CA file", "web", "127.0.0.1", "tls-ca=/nonexistent", "tls-ca: open /nonexistent: no such file"},
		{"no PEM", "web", "127.0.0.1", "tls-ca=" + server.Dir + "/log", "tls-ca: no PEM certificate in "},
		{"key elsewhere", "web", "127.0.0.1", ca + "&tls-cert=" + ours.path("client.crt"), "tls-cert: "},
		{"TLS inside loopback", "web", "127.0.0.1", "tls=true", "x509: certificate signed by unknown authority"},
	} {
		t.Run(c.name, func(t *testing.T) { openTLS(t, server, database, c.user, c.host, c.options, c.want) })
	}

	t.Run("key that others can read", func(t *testing.T) {
		check(t, os.Chmod(ours.path("client.key"), 0o644))
		openTLS(t, server, database, "strict", "127.0.0.1", ca+"&tls-cert="+ours.path("client.crt")+"&tls-key="+ours.path("client.key"),
			"others can read it (mode 0644); run chmod 0600")
	})
	t.Run("wrong name", func(t *testing.T) {
		sum := serve(t, time.Time{}, "db1.example")
		openTLS(t, server, database, "web", "localhost", ca,
			"x509: certificate is valid for db1.example, not localhost (write the host into the dsn as the certificate names it")
		openTLS(t, server, database, "web", "0.0.0.0", "tls=sha256:"+sum, "")
	})
	t.Run("expired", func(t *testing.T) {
		sum := serve(t, time.Now().Add(-24*time.Hour), "localhost")
		openTLS(t, server, database, "web", "localhost", ca, "x509: certificate has expired")
		openTLS(t, server, database, "web", "0.0.0.0", "tls=sha256:"+sum, "")
	})
	t.Run("renewed", func(t *testing.T) { // a store that is open takes the new file at its next connect
		file := filepath.Join(t.TempDir(), "ca.crt")
		text, err := os.ReadFile(other.path("ca.crt"))
		check(t, err)
		check(t, os.WriteFile(file, text, 0o644))
		s, err := dial(Options{DSN: fmt.Sprintf("mysql://web:sesame@127.0.0.1:%d/%s?tls-ca=%s", server.Port, database, file)})
		check(t, err)
		defer s.Close()
		if err := s.readMeta(t.Context()); err == nil {
			t.Error("connected with the old CA")
		}
		serve(t, time.Time{}, "127.0.0.1")
		text, err = os.ReadFile(ours.path("ca.crt"))
		check(t, err)
		check(t, os.WriteFile(file, text, 0o644))
		check(t, s.readMeta(t.Context()))
	})
}

// openTLS opens the store, and wants it to fail with want in the error, or to be encrypted as the options say.
func openTLS(t *testing.T, server *mariadbtest.Server, database, user, host, options, want string) {
	t.Helper()
	start := time.Now()
	s, err := Open(t.Context(), Options{DSN: fmt.Sprintf("mysql://%s:sesame@%s:%d/%s", user, host, server.Port, database) + query(options)})
	if want != "" {
		if err == nil {
			s.Close()
			t.Fatal("connected")
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%v, want %s", err, want)
		}
		if d := time.Since(start); d > Patience/2 {
			t.Errorf("took %v: it was tried again and again", d)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var name, cipher string
	check(t, s.db.QueryRow("SHOW SESSION STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher))
	if encrypted := cipher != ""; encrypted == (options == "tls=false") {
		t.Errorf("options %q: cipher %q", options, cipher)
	}
}

func query(options string) string {
	if options == "" {
		return ""
	}
	return "?" + options
}

// TestPlainServer: a server without TLS is refused, unless the DSN says otherwise or it is on this machine.
func TestPlainServer(t *testing.T) {
	server := mariadbtest.Shared(t)
	database := server.Database(t)
	initStore(t, Options{DSN: server.DSN(database)})
	server.Exec(t, "CREATE USER IF NOT EXISTS plain@'%' IDENTIFIED BY 'sesame'; GRANT ALL ON *.* TO plain@'%'")
	openTLS(t, server, database, "plain", "0.0.0.0", "", "the server has no TLS: set it up there, or add ?tls=false to the dsn")
	openTLS(t, server, database, "plain", "0.0.0.0", "tls=sha256:"+strings.Repeat("00", 32), "the server has no TLS")
	openTLS(t, server, database, "plain", "127.0.0.1", "tls=true", "the server has no TLS")
	openTLS(t, server, database, "plain", "0.0.0.0", "tls=false", "")
}
