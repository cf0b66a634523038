"""What the shop sells, and the pictures of it."""

from django.db import models


class Item(models.Model):
    name = models.CharField(max_length=200, unique=True)
    cents = models.PositiveIntegerField()
    picture = models.FileField(blank=True)

    def __str__(self):
        return self.name


class StoredFile(models.Model):
    """A file of DatabaseStorage."""

    name = models.CharField(max_length=200, unique=True)
    content = models.BinaryField()
