package store

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
)

// encrypted reports whether the connection to one of d's hosts is.
func (d DSN) encrypted(address string) bool {
	return d.TLS != "false" && (d.TLS != "" || !local(address))
}

// tlsConfig returns how the connection to one of d's hosts is encrypted and verified, nil if it is not.
func (d DSN) tlsConfig(address string) (*tls.Config, error) {
	if !d.encrypted(address) {
		return nil, nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{ServerName: host}
	if d.CAFile != "" {
		text, err := os.ReadFile(d.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls-ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("tls-ca: no PEM certificate in %s", d.CAFile)
		}
	}
	if d.CertFile != "" {
		cert, err := d.clientCertificate()
		if err != nil {
			return nil, fmt.Errorf("tls-cert: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	if d.Pins != nil {
		cfg.InsecureSkipVerify = true // the pin is stricter than what it skips
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			if sum := fingerprint(s.PeerCertificates[0]); !slices.Contains(d.Pins, sum) {
				return pinError(sum)
			}
			return nil
		}
	}
	return cfg, nil
}

func (d DSN) clientCertificate() (tls.Certificate, error) {
	key := d.KeyFile
	if key == "" {
		key = d.CertFile
	}
	info, err := os.Stat(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := CheckSecret(key, "a key", info); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(d.CertFile, key)
}

// CheckSecret refuses a file with a secret that others may read or write.
func CheckSecret(path, secret string, info fs.FileInfo) error {
	if info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("%s holds %s and others can read it (mode %04o); run chmod 0600 %s, or 0640 for a group",
			path, secret, info.Mode().Perm(), path)
	}
	return nil
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// pinError is a certificate that the DSN does not pin, by its fingerprint.
type pinError string

func (e pinError) Error() string {
	return "tls: the server's certificate is sha256:" + string(e) + ", which is not the one that the dsn pins"
}

// tlsHint says what to do about an error of TLS, or nothing if err is none.
func tlsHint(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var pin pinError
	switch {
	case errors.As(err, &unknown):
		return "name the CA that signed the server's certificate with tls-ca=/path in the dsn" + offerPin(err)
	case errors.As(err, &name):
		return "write the host into the dsn as the certificate names it, or issue one with this name" + offerPin(err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the server's certificate, or set the clock of this host"
	case errors.As(err, &pin):
		return "if the server got a new certificate, pin that one with tls=sha256:HEX in the dsn; if not, something stands between this host and the server"
	case isAlert(err):
		return "the server refused this host's TLS: check tls-cert in the dsn, and that the server trusts the CA that signed it"
	}
	return ""
}

// isAlert reports whether the other side of a TLS connection ended it with an error. crypto/tls has no type for this.
func isAlert(err error) bool {
	var alert *net.OpError
	return errors.As(err, &alert) && alert.Op == "remote error"
}

// offerPin names the fingerprint that the server showed: where it has a certificate of its own making, there is no CA.
func offerPin(err error) string {
	var failed *tls.CertificateVerificationError
	if !errors.As(err, &failed) || len(failed.UnverifiedCertificates) == 0 {
		return ""
	}
	return "; where there is none, pin it with tls=sha256:" + fingerprint(failed.UnverifiedCertificates[0]) +
		" once you have compared this with openssl x509 -noout -fingerprint -sha256 on the server"
}
