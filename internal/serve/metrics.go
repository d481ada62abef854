package serve

import (
	"math"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what /metrics tells.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	texts    prometheus.Counter
	windowed prometheus.Counter
	tokens   prometheus.Counter
	cached   prometheus.Counter
	steps    prometheus.Counter
	rewards  prometheus.Histogram
	lengths  prometheus.Histogram

	controlTokens prometheus.Counter

	graded   *prometheus.CounterVec
	ungraded *prometheus.CounterVec
	unscored *prometheus.CounterVec
	batches  prometheus.Histogram
	inBatch  prometheus.Histogram
	running  prometheus.Histogram

	deviceBatches, deviceTexts, deviceTokens, deviceSeconds *prometheus.CounterVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, start, factor float64, n int) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(start, factor, n)})
		m.registry.MustRegister(h)
		return h
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	m.requests = counters("goprm_requests_total", "Requests answered, by route and status; 499: the client was gone.", "endpoint", "code")
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "goprm_request_seconds", Help: "Time from a request's header to its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 18),
	}, []string{"endpoint"})
	m.registry.MustRegister(m.seconds)
	m.graded = counters("goprm_graded_total", "Answers compared with their labels.", "outcome")
	m.unscored = counters("goprm_unscored_total", "Trainers' texts without a reward.", "reason")
	m.ungraded = counters("goprm_ungraded_total", "Answers that could not be compared with their labels, by what is to blame: answer "+
		"(outcome 0), gold, or missing (no label beside others).", "cause")
	m.controlTokens = counter("goprm_control_token_problems_total",
		"Problems with a chat template's control tokens in them: their prompts' form is not known.")
	m.texts = counter("goprm_texts_total", "Texts scored.")
	m.windowed = counter("goprm_windowed_texts_total", "Texts longer than the model was trained for, read in windows.")
	m.tokens = counter("goprm_tokens_total", "Tokens of the texts scored.")
	m.cached = counter("goprm_cached_tokens_total", "Tokens of the texts scored that were not computed, since earlier texts begin with them.")
	m.steps = counter("goprm_steps_total", "Steps scored.")
	m.rewards = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "goprm_reward",
		Help: "Rewards of the texts scored, before they are blended with outcomes.", Buckets: prometheus.LinearBuckets(-1, 0.1, 31)})
	m.registry.MustRegister(m.rewards)
	m.lengths = histogram("goprm_text_tokens", "Tokens of a text.", 16, 2, 14)
	m.inBatch = histogram("goprm_batch_texts", "Texts of a batch.", 1, 2, 10)
	m.batches = histogram("goprm_batch_tokens", "Tokens of a batch.", 64, 2, 12)
	m.running = histogram("goprm_batch_seconds", "Time that a batch takes.", 0.001, 2, 18)
	m.deviceBatches = counters("goprm_device_batches_total", "Batches that a device scored, or failed to.", "device")
	m.deviceTexts = counters("goprm_device_texts_total", "Texts of a device's batches.", "device")
	m.deviceTokens = counters("goprm_device_tokens_total", "Tokens of a device's batches.", "device")
	m.deviceSeconds = counters("goprm_device_seconds_total", "Time that a device's batches took.", "device")
	m.registry.MustRegister(deviceGauges{s})
	gauge := func(name, help string, value func() int64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) }))
	}
	gauge("goprm_queue_texts", "Texts that wait for a batch or are read in turns.", func() int64 {
		return int64(s.current().batches.waiting())
	})
	gauge("goprm_requests_in_flight", "Requests that are being answered.", func() int64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return int64(s.inFlight)
	})
	gauge("goprm_memory_limit_bytes", "What requests may be reckoned to take.", func() int64 { return s.budget.limit })
	gauge("goprm_memory_bytes", "What requests whose body is there are reckoned to take.", func() int64 { return s.budget.state().used })
	gauge("goprm_memory_peak_bytes", "The most that requests and arriving bodies were ever reckoned to take.", func() int64 {
		return s.budget.state().peak
	})
	gauge("goprm_unread_requests", "Requests whose body is still arriving.", func() int64 { return s.budget.state().unread })
	gauge("goprm_unread_bytes", "Bytes of bodies that are still arriving.", func() int64 { return s.budget.state().unreadBytes })
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) batch(device string, texts, tokens int, took time.Duration) {
	m.deviceBatches.WithLabelValues(device).Inc()
	m.deviceTexts.WithLabelValues(device).Add(float64(texts))
	m.deviceTokens.WithLabelValues(device).Add(float64(tokens))
	m.deviceSeconds.WithLabelValues(device).Add(took.Seconds())
	m.inBatch.Observe(float64(texts))
	m.batches.Observe(float64(tokens))
	m.running.Observe(took.Seconds())
}

var (
	deviceUp    = prometheus.NewDesc("goprm_device_up", "1 while a device scores, 0 when it is lost.", []string{"device"}, nil)
	deviceQueue = prometheus.NewDesc("goprm_device_queue_tokens", "Tokens that wait for a device or are being scored.",
		[]string{"device"}, nil)
)

// deviceGauges are of the devices of the model that is served.
type deviceGauges struct{ server *Server }

// Describe is part of prometheus.Collector.
func (deviceGauges) Describe(c chan<- *prometheus.Desc) { c <- deviceUp; c <- deviceQueue }

// Collect is part of prometheus.Collector.
func (g deviceGauges) Collect(c chan<- prometheus.Metric) {
	for _, b := range g.server.current().batches.list {
		up := 1.0
		if b.device.Lost() != nil {
			up = 0
		}
		c <- prometheus.MustNewConstMetric(deviceUp, prometheus.GaugeValue, up, b.device.Device())
		c <- prometheus.MustNewConstMetric(deviceQueue, prometheus.GaugeValue, float64(b.load()), b.device.Device())
	}
}

func (m *metrics) scored(texts []Text, scores []Score) {
	for i, t := range texts {
		m.texts.Inc()
		m.tokens.Add(float64(t.Tokens()))
		m.cached.Add(float64(scores[i].Cached))
		m.steps.Add(float64(len(scores[i].Steps)))
		m.lengths.Observe(float64(t.Tokens()))
		if reward := scores[i].Reward; scores[i].Err == nil && !math.IsNaN(reward) {
			m.rewards.Observe(reward)
		}
		if t.Windows() > 1 {
			m.windowed.Inc()
		}
	}
}

// grade counts a comparison; cause is what kept it from a verdict.
func (m *metrics) grade(right bool, cause string) {
	outcome := "wrong"
	switch {
	case cause != "":
		m.ungraded.WithLabelValues(cause).Inc()
		if cause != badAnswer {
			outcome = "undecided"
		}
	case right:
		outcome = "right"
	}
	m.graded.WithLabelValues(outcome).Inc()
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
