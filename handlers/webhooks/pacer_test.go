package webhooks

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFailuresThatComeTogetherAreSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 4096
		p := pacer{now: time.Now}
		began := time.Now()
		var mu sync.Mutex
		went := map[time.Duration]int{}
		for range many {
			go func() {
				p.wait(t.Context())
				mu.Lock()
				defer mu.Unlock()
				went[time.Since(began)]++
			}()
		}
		<-time.After(failureWait)
		synctest.Wait()
		gone := 0
		for at, n := range went {
			gone += n
			if at < failureWait-failuresOnce {
				require.LessOrEqual(t, n, int(failuresOnce/failureEvery), at)
			}
		}
		require.Equal(t, many, gone, "none waits for longer")

		went = map[time.Duration]int{}
		began = time.Now()
		p.wait(t.Context())
		require.LessOrEqual(t, time.Since(began), 2*failuresOnce, "one alone waits for nobody")
	})
}

func TestFailuresWaitNoMoreWhenAProcessStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pacer{now: time.Now}
		ctx, stop := context.WithCancel(t.Context())
		began := time.Now()
		var waiting sync.WaitGroup
		for range 1000 {
			waiting.Go(func() { p.wait(ctx) })
		}
		stop()
		waiting.Wait()
		require.Zero(t, time.Since(began))
	})
}
