"""A worker that says that it lives."""

import time

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Works for ever."

    def handle(self, *args, **options):
        count = 0
        while True:
            count += 1
            self.stdout.write(f"worked {count} times")
            self.stdout.flush()
            time.sleep(10)
