"""EM aggregation (Dawid and Skene 1979): patterns of answers, their estimation, and the method `em`."""
