"""The batch group: jobs and what starts them."""

from pynetes.apis.batch.cron_job import CronJobStrategy
from pynetes.apis.batch.job import JobStrategy
from pynetes.apis.strategy import Strategy

STRATEGIES: dict[str, type[Strategy]] = {"cronjobs.batch": CronJobStrategy, "jobs.batch": JobStrategy}
