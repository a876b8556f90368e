package aggregate

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"f2bc/testdata/bench"
)

// BenchmarkCompareIPv6 is from file to file, ours beside netipx's set builder.
func BenchmarkCompareIPv6(b *testing.B) {
	name := writeList(b, random6(200_000))
	through := func(f func(io.Reader, io.Writer) error) func() time.Duration {
		return bench.Timed(b, func() error {
			r, err := os.Open(name)
			if err != nil {
				return err
			}
			defer r.Close()
			w, err := os.Create(filepath.Join(b.TempDir(), "out"))
			if err != nil {
				return err
			}
			return errors.Join(f(r, w), w.Close())
		})
	}
	bench.Compare(b, "aggregate 200,000 IPv6 addresses", 9, bench.Side{Name: "f2bc", Run: through(throughSet)},
		bench.Side{Name: "netipx.IPSetBuilder", Run: through(throughNetipx)}, "0.5")
}
