package webhooks

// SweepSecrets is what a worker does every now and then.
var SweepSecrets = sweepSecrets
