"""A campaign against a store and the job that makes it: kills and faults, judged by an oracle that knows neither."""
