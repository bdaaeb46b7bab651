-- What was counted, in one line: microseconds, answers, median and 99th percentile in microseconds, answers that are neither 2xx nor 3xx, socket errors.
done = function(summary, latency)
  local errors = summary.errors
  local sockets = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("counted %.0f %.0f %.0f %.0f %.0f %.0f\n",
    summary.duration, summary.requests, latency:percentile(50), latency:percentile(99), errors.status, sockets))
end
